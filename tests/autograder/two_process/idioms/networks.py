"""Tests of a student's network: its output, its layers, its parameters, its state."""

from .record import idiom

__all__ = ["NETWORKS", "network"]

_NETWORK = """
class {name}(Counted):
    def __init__(self, features, hidden=5, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, groups={groups}, padding=1)
        self.norm = nn.BatchNorm1d(hidden)
        self.body = nn.Sequential(
            nn.Linear(features, hidden, bias=bias), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 2)
        )

    def forward(self, x):
        return {output}
"""


def network(name: str, output: str = "self.body(x)", groups: int = 4) -> str:
    """A class that a student might write; other `output` or `groups` make it wrong."""
    return _NETWORK.format(name=name, output=output, groups=groups)


NETWORKS = [
    idiom(
        "forward",
        right=network("Forward"),
        wrong=network("Forward", "self.body(x) * 2"),
        test="""
            torch.manual_seed(1)
            model = Forward(3).eval()
            x = torch.randn(6, 3)
            got = model(x)
            assert got.shape == (6, 2)
            first, last = model.body[0], model.body[3]
            hidden = F.relu(F.linear(x, first.weight, first.bias))
            torch.testing.assert_close(got, F.linear(hidden, last.weight, last.bias))
        """,
        points=2,
    ),
    idiom(
        "parameters",
        right=network("Parameters"),
        wrong=network("Parameters", groups=2),
        test="""
            model = Parameters(3, hidden=7)
            assert sum(p.numel() for p in model.parameters()) == 8 * 9 + 8 + 14 + 3 * 7 + 7 + 7 * 2 + 2
            named = dict(model.named_parameters())
            assert "conv.weight" in named and named["body.0.weight"].shape == (7, 3)
            assert model.count() == sum(p.numel() for p in named.values())
            assert Parameters(3, bias=False).body[0].bias is None
            assert all(p.requires_grad for p in model.parameters())
        """,
    ),
    idiom(
        "kinds_of_layers",
        right=network("Kinds"),
        wrong=network("Kinds", groups=1),
        test="""
            model = Kinds(3)
            assert isinstance(model, nn.Module) and isinstance(model, Counted) and isinstance(model, Kinds)
            assert issubclass(Kinds, nn.Module)
            assert isinstance(model.body[0], nn.Linear) and not isinstance(model.body[1], nn.Linear)
            assert model.conv.groups == 4 and model.conv.kernel_size == (3, 3)
            assert type(model).__name__ == "Kinds"
        """,
    ),
    idiom(
        "type_is",
        right="""
            def activation():
                return nn.ReLU()
        """,
        wrong="""
            def activation():
                return nn.ReLU6()
        """,
        test="assert type(activation()) is nn.ReLU",
    ),
    idiom(
        "children_and_modules",
        right=network("Children"),
        wrong="""
            def Children(features):
                return nn.Linear(features, 2)
        """,
        test="""
            model = Children(3)
            assert [c.__class__.__name__ for c in model.children()] == ["Conv2d", "BatchNorm1d", "Sequential"]
            assert [name for name, _ in model.named_children()] == ["conv", "norm", "body"]
            assert len(list(model.modules())) == 8 and len(model.body) == 4
            assert any(isinstance(layer, nn.ReLU) for layer in model.body)
            assert sum(isinstance(layer, nn.Linear) for layer in model.modules()) == 2
        """,
    ),
    idiom(
        "list_of_layers",
        right="""
            def layers():
                return [nn.Linear(2, 3), nn.ReLU()]
        """,
        wrong="""
            def layers():
                return [nn.ReLU(), nn.Linear(2, 2)]
        """,
        test="""
            x = torch.ones(1, 2)
            stack = layers()
            for layer in stack:
                x = layer(x)
            assert x.shape == (1, 3)
            assert isinstance(stack[0], nn.Linear) and type(stack[1]) is nn.ReLU
        """,
    ),
    idiom(
        "train_and_eval",
        right=network("Modes"),
        wrong=network("Modes", "self.body(x) + torch.rand(1)"),
        test="""
            model = Modes(3)
            model.train()
            assert model.training and model.body[2].training
            assert model.eval() is model and not model.body[2].training
            x = torch.ones(2, 3)
            assert torch.equal(model(x), model(x))
        """,
    ),
    idiom(
        "state_dict",
        right=network("State"),
        wrong=network("State", "self.body(x) * 0"),
        test="""
            one, other = State(3).eval(), State(3).eval()
            other.load_state_dict(one.state_dict())
            x = torch.randn(2, 3)
            assert torch.equal(one(x), other(x)) and one(x).abs().sum() > 0
            one.load_state_dict({name: torch.ones_like(value) for name, value in one.state_dict().items()})
            assert torch.equal(one.body[0].weight, torch.ones(5, 3))
            expected = 5 * F.relu(x.sum(1, keepdim=True) + 1).expand(2, 2) + 1
            torch.testing.assert_close(one(x), expected)
        """,
    ),
    idiom(
        "weights_set_by_the_test",
        right=network("Weights"),
        wrong=network("Weights", "self.body(x) + 1"),
        test="""
            model = Weights(3).eval()
            with torch.no_grad():
                model.body[0].weight.copy_(torch.ones(5, 3))
                model.body[0].bias.zero_()
            model.body[3].weight.data.fill_(1.0)
            nn.init.zeros_(model.body[3].bias)
            assert torch.allclose(model(torch.ones(1, 3)), torch.full((1, 2), 15.0))
        """,
    ),
    idiom(
        "buffers",
        right=network("Buffers"),
        wrong=network("Buffers").replace("BatchNorm1d(hidden)", "BatchNorm1d(hidden, momentum=None)"),
        test="""
            model = Buffers(3)
            model.train()
            model.norm(torch.randn(16, 5) + 5)
            assert model.norm.num_batches_tracked == 1
            assert 0.3 < model.norm.running_mean.mean() < 0.7
            assert "norm.running_var" in dict(model.named_buffers())
        """,
    ),
    idiom(
        "double_precision",
        right=network("Precise"),
        wrong=network("Precise", "self.body(x) * 0"),
        test="""
            model = Precise(3).double().eval()
            got = model(torch.ones(1, 3, dtype=torch.double))
            assert got.dtype == torch.float64 and got.abs().sum() > 0
        """,
    ),
    idiom(
        "tied_weights",
        right="""
            class Tied(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
                    self.b.weight = self.a.weight
        """,
        wrong="""
            class Tied(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        """,
        test="""
            model = Tied()
            assert model.a.weight is model.b.weight
            assert len(list(model.parameters())) == 3
        """,
    ),
    idiom(
        "deep_copy",
        right=network("Copied"),
        wrong=network("Copied", "torch.rand(1, 2)"),
        test="""
            model = Copied(3).eval()
            other = copy.deepcopy(model)
            x = torch.ones(1, 3)
            assert torch.equal(model(x), other(x))
            other.body[3].bias.data += 1
            torch.testing.assert_close(other(x), model(x) + 1)
        """,
    ),
    idiom(
        "saved_and_loaded",
        right=network("Saved"),
        wrong=network("Saved", "self.body(x) * 0"),
        test="""
            file, model = io.BytesIO(), Saved(3)
            torch.save(model.state_dict(), file)
            file.seek(0)
            other = Saved(3)
            other.load_state_dict(torch.load(file))
            x = torch.ones(1, 3)
            assert torch.equal(model.eval()(x), other.eval()(x)) and model(x).abs().sum() > 0
        """,
    ),
    idiom(
        "no_grad",
        right=network("Quiet"),
        wrong=network("Quiet", "self.body(x).detach()"),
        test="""
            model = Quiet(3).eval()
            with torch.no_grad():
                assert not model(torch.ones(1, 3)).requires_grad
            assert model(torch.ones(1, 3)).requires_grad
        """,
    ),
    idiom(
        "hasattr",
        right=network("Attributes"),
        wrong="""
            class Attributes:
                def __init__(self, features):
                    self.features = features
        """,
        test="""
            model = Attributes(3)
            assert hasattr(model, "conv") and not hasattr(model, "missing")
            assert getattr(model, "missing", 3) == 3 and callable(model)
        """,
    ),
    idiom(
        "forward_hook",
        right=network("Hooked"),
        wrong=network("Hooked", "self.body[3](self.body[0](x))"),
        test="""
            model, seen = Hooked(3), []
            handle = model.body[1].register_forward_hook(lambda layer, inputs, output: seen.append(output.shape))
            model(torch.ones(2, 3))
            handle.remove()
            model(torch.ones(2, 3))
            assert seen == [torch.Size([2, 5])]
        """,
    ),
    idiom(
        "network_given_as_argument",
        right="""
            def parameters_of(model):
                return sum(p.numel() for p in model.parameters())
        """,
        wrong="""
            def parameters_of(model):
                return len(list(model.parameters()))
        """,
        test="""
            model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
            assert parameters_of(model) == 12 + 4 + 8 + 2 == sum(p.numel() for p in model.parameters())
        """,
    ),
    idiom(
        "network_of_a_given_class",
        right="""
            def looked_at(model):
                return len(list(model.parameters())), model(torch.ones(1, 3))
        """,
        wrong="""
            def looked_at(model):
                return 2, torch.ones(1, 3)
        """,
        test="""
            model = Halver()
            n, got = looked_at(model)
            assert n == 2
            torch.testing.assert_close(got, model(torch.ones(1, 3)))
        """,
    ),
    idiom(
        "network_rewritten_and_returned",
        right="""
            def factorized(model):
                for name, layer in model.named_children():
                    if isinstance(layer, nn.Linear):
                        narrow = nn.Linear(layer.in_features, 1, bias=False)
                        setattr(model, name, nn.Sequential(narrow, nn.Linear(1, layer.out_features)))
                return model
        """,
        wrong="""
            def factorized(model):
                return model
        """,
        test="""
            got = factorized(nn.Sequential(nn.Linear(6, 4), nn.ReLU()))
            assert isinstance(got[0], nn.Sequential) and got[0][0].out_features == 1
            assert got(torch.randn(2, 6)).shape == (2, 4)
        """,
    ),
    idiom(
        "counted_by_hooks",
        right="""
            def small():
                return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
        """,
        wrong="""
            def small():
                return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 2))
        """,
        test="""
            params, macs = count_by_hooks(small(), (3, 8, 8))
            assert params == 4 * 27 + 4 + 144 * 2 + 2, params
            assert macs == 36 * 4 * 27 + 144 * 2, macs
        """,
    ),
    idiom(
        "counted_by_the_profiler",
        right="""
            def separable(channels):
                depthwise = nn.Conv2d(channels, channels, 3, groups=channels, padding=1, bias=False)
                return nn.Sequential(depthwise, nn.Conv2d(channels, 2 * channels, 1, bias=False))
        """,
        wrong="""
            def separable(channels):
                return nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        """,
        test="""
            from micronet_resources.profile import profile_model

            network = trusted_copy(separable(4), torch.zeros(2, 4, 8, 8))
            got = profile_model(network, (4, 8, 8))
            assert got.macs == 64 * (9 * 4 + 4 * 8), got.macs
            assert sum(p.numel() for p in network.parameters()) == 9 * 4 + 4 * 8
        """,
    ),
]
