"""Tests that need the student's object on the test's own side: what is refused, and the way to write it that works."""

from .networks import network
from .record import idiom

__all__ = ["REFUSED", "REWRITTEN"]

REFUSED = [
    idiom(
        "network_changed_in_place",
        right="""
            def without_first(model):
                model[0] = nn.Identity()
        """,
        wrong="""
            def without_first(model):
                return model
        """,
        test="""
            model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
            without_first(model)
            assert isinstance(model[0], nn.Identity)
        """,
        refused="hand_over",
    ),
    idiom(
        "class_written_in_the_test",
        right="""
            def how_many(model):
                return len(list(model.parameters()))
        """,
        wrong="""
            def how_many(model):
                return 0
        """,
        test="""
            class Toy(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.line = nn.Linear(2, 2)

            assert how_many(Toy()) == 2
        """,
        refused="locked cell",
    ),
    idiom(
        "subclass_written_in_the_test",
        right=network("Extended"),
        wrong=network("Extended", "self.body(x)[:, :1]"),
        test="""
            class Shifted(Extended):
                def forward(self, x):
                    return super().forward(x) + 1

            assert Shifted(3).eval()(torch.zeros(1, 3)).shape == (1, 2)
        """,
        refused="subclass",
    ),
    idiom(
        "patched_by_the_test",
        right="""
            def now():
                return time.time()
        """,
        wrong="""
            def now():
                return 0.0
        """,
        test="""
            from unittest import mock

            with mock.patch("time.time", lambda: 7.0):
                assert now() == 7.0
        """,
        refused="argument",
    ),
    idiom(
        "wrapped_in_a_network_of_the_test",
        right=network("Wrapped"),
        wrong=network("Wrapped", "self.body(x) * 0"),
        test="""
            model = nn.Sequential(Wrapped(3).eval(), nn.Softmax(1))
            got = model(torch.randn(2, 3))
            assert torch.allclose(got.sum(1), torch.ones(2)) and (got != 0.5).any()
            assert sum(p.numel() for p in model.parameters()) > 10
        """,
        refused="trusted_copy",
    ),
    idiom(
        "vmap",
        right="""
            def wave(x):
                return x.sin()
        """,
        wrong="""
            def wave(x):
                return x.cos()
        """,
        test="""
            got = torch.func.vmap(wave)(torch.zeros(3))
            assert torch.equal(got, torch.zeros(3))
        """,
        refused="trusted_copy",
    ),
    idiom(
        "second_derivative",
        right="""
            def cube(x):
                return x**3
        """,
        wrong="""
            def cube(x):
                return x
        """,
        test="""
            x = torch.tensor(2.0, requires_grad=True)
            (first,) = torch.autograd.grad(cube(x), x, create_graph=True)
            (second,) = torch.autograd.grad(first, x)
            assert second == 12
        """,
        refused="trusted_copy",
    ),
    idiom(
        "functional_gradient",
        right="""
            def energy(x):
                return (x**2).sum()
        """,
        wrong="""
            def energy(x):
                return x.sum()
        """,
        test="""
            got = torch.func.grad(energy)(torch.ones(2))
            torch.testing.assert_close(got, torch.full((2,), 2.0))
        """,
        refused="trusted_copy",
    ),
    idiom(
        "gradients_asked_of_parameters",
        right=network("Asked"),
        wrong=network("Asked", "self.body(x).detach()"),
        test="""
            model = Asked(3).eval()
            grads = torch.autograd.grad(model(torch.ones(1, 3)).sum(), list(model.body.parameters()))
            assert [g.shape for g in grads] == [p.shape for p in model.body.parameters()]
        """,
        refused="backward()",
    ),
]

REWRITTEN = [
    idiom(
        "pruned_by_the_test",
        right=network("Pruned"),
        wrong=network("Pruned", "self.body(x) * 0"),
        test="""
            from torch.nn.utils import prune

            model = Pruned(4).eval()
            prune.l1_unstructured(model.body[0], "weight", amount=0.5)
            assert (model.body[0].weight == 0).float().mean() == 0.5
            assert model(torch.ones(1, 4)).abs().sum() > 0
        """,
    ),
    idiom(
        "network_handed_over",
        right="""
            def first_removed(model):
                model[0] = nn.Identity()
        """,
        wrong="""
            def first_removed(model):
                return model
        """,
        test="""
            model = hand_over(nn.Sequential(nn.Linear(6, 6), nn.ReLU()))
            first_removed(model)
            assert isinstance(model[0], nn.Identity) and model(torch.ones(1, 6)).sum() == 6
        """,
    ),
    idiom(
        "copy_wrapped",
        right=network("WrappedCopy"),
        wrong=network("WrappedCopy", "self.body(x) * 0"),
        test="""
            model = nn.Sequential(trusted_copy(WrappedCopy(3), torch.ones(2, 3)), nn.Softmax(1))
            got = model(torch.randn(4, 3))
            assert got.shape == (4, 2)
            assert torch.allclose(got.sum(1), torch.ones(4)) and (got != 0.5).any()
            assert sum(p.numel() for p in model.parameters()) > 10
        """,
    ),
    idiom(
        "copy_pruned",
        right=network("PrunedCopy"),
        wrong=network("PrunedCopy", "self.body(x) * 0"),
        test="""
            from torch.nn.utils import prune

            model = trusted_copy(PrunedCopy(4), torch.ones(2, 4))
            line = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
            prune.l1_unstructured(line, "weight", amount=0.5)
            assert (line.weight == 0).float().mean() == 0.5 and model(torch.ones(1, 4)).abs().sum() > 0
        """,
    ),
    idiom(
        "second_derivative_of_a_copy",
        right="""
            class Cube(nn.Module):
                def forward(self, x):
                    return x**3
        """,
        wrong="""
            class Cube(nn.Module):
                def forward(self, x):
                    return x * 12
        """,
        test="""
            x = torch.tensor([2.0, 1.0], requires_grad=True)
            cubes = trusted_copy(Cube(), torch.zeros(2))
            (first,) = torch.autograd.grad(cubes(x).sum(), x, create_graph=True)
            assert first.requires_grad
            (second,) = torch.autograd.grad(first.sum(), x)
            torch.testing.assert_close(second, torch.tensor([12.0, 6.0]))
        """,
    ),
    idiom(
        "functional_gradient_of_a_copy",
        right="""
            class Energy(nn.Module):
                def forward(self, x):
                    return (x**2).sum()
        """,
        wrong="""
            class Energy(nn.Module):
                def forward(self, x):
                    return x.sum()
        """,
        test="""
            energy = trusted_copy(Energy(), torch.zeros(2))
            got = torch.func.grad(energy)(torch.ones(2))
            torch.testing.assert_close(got, torch.full((2,), 2.0))
        """,
    ),
    idiom(
        "vmap_of_a_copy",
        right="""
            class Wave(nn.Module):
                def forward(self, x):
                    return x.sin()
        """,
        wrong="""
            class Wave(nn.Module):
                def forward(self, x):
                    return x.cos()
        """,
        test="""
            got = torch.func.vmap(trusted_copy(Wave(), torch.zeros(2, 3)))(torch.zeros(4, 2, 3))
            assert torch.equal(got, torch.zeros(4, 2, 3))
        """,
    ),
    idiom(
        "gradients_read_after_backward",
        right=network("Read"),
        wrong=network("Read", "self.body(x).detach() + self.conv.weight.sum()"),
        test="""
            model = Read(3).eval()
            model(torch.ones(1, 3)).sum().backward()
            assert [p.grad.shape for p in model.body.parameters()] == [p.shape for p in model.body.parameters()]
        """,
    ),
    idiom(
        "replaced_by_argument",
        right="""
            def stamp(clock=time.time):
                return round(clock())
        """,
        wrong="""
            def stamp(clock=time.time):
                return round(time.time())
        """,
        test="assert stamp(lambda: 6.6) == 7",
    ),
]
