"""Tests of gradients, optimizers, training and data sets."""

from .networks import network
from .record import idiom

__all__ = ["TRAINING"]

TRAINING = [
    idiom(
        "gradients_of_parameters",
        right=network("Learning"),
        wrong=network("Learning", "self.body(x).detach() + self.conv.weight.sum() + 0 * x.sum()"),
        test="""
            model = Learning(3).eval()
            x = torch.randn(4, 3, requires_grad=True)
            loss = F.cross_entropy(model(x), torch.tensor([0, 1, 0, 1]))
            loss.backward()
            assert all(p.grad is not None for p in model.body.parameters())
            assert model.conv.weight.grad is None
            assert model.body[0].weight.grad.abs().sum() > 0 and x.grad.shape == x.shape
            model.zero_grad()
            assert model.body[0].weight.grad is None
        """,
    ),
    idiom(
        "gradients_of_a_function",
        right="""
            def cubes(x):
                return (x**3).sum()
        """,
        wrong="""
            def cubes(x):
                return (x.detach() ** 3).sum() + 0 * x.sum()
        """,
        test="""
            x = torch.tensor([1.0, 2.0], requires_grad=True)
            (grad,) = torch.autograd.grad(cubes(x), x)
            torch.testing.assert_close(grad, torch.tensor([3.0, 12.0]))
            cubes(x * 2).backward()
            torch.testing.assert_close(x.grad, 24 * x.detach() ** 2)
        """,
    ),
    idiom(
        "gradcheck",
        right="""
            def squash(x):
                return torch.tanh(x)
        """,
        wrong="""
            def squash(x):
                return torch.tanh(x).detach() + x * 0
        """,
        test="""
            x = torch.randn(3, dtype=torch.double, requires_grad=True)
            assert torch.autograd.gradcheck(squash, x)
        """,
    ),
    idiom(
        "autograd_function",
        right="""
            class Square(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    ctx.save_for_backward(x)
                    return x * x

                @staticmethod
                def backward(ctx, grad):
                    (x,) = ctx.saved_tensors
                    return 2 * x * grad
        """,
        wrong="""
            class Square(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x):
                    ctx.save_for_backward(x)
                    return x * x

                @staticmethod
                def backward(ctx, grad):
                    (x,) = ctx.saved_tensors
                    return x * grad
        """,
        test="""
            x = torch.tensor([3.0], requires_grad=True)
            Square.apply(x).backward()
            assert x.grad.item() == 6
        """,
    ),
    idiom(
        "jacobian",
        right="""
            def squares(x):
                return x**2
        """,
        wrong="""
            def squares(x):
                return x * 2
        """,
        test="""
            got = torch.autograd.functional.jacobian(squares, torch.tensor([1.0, 3.0]))
            torch.testing.assert_close(got, torch.diag(torch.tensor([2.0, 6.0])))
        """,
    ),
    idiom(
        "clipped_gradients",
        right=network("Clipped"),
        wrong=network("Clipped", "self.body(x) * 0"),
        test="""
            model = Clipped(3).eval()
            model(torch.ones(2, 3)).sum().backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            assert norm > 0.01
            assert model.body[3].bias.grad.norm() <= 0.0101
            vector = nn.utils.parameters_to_vector(model.parameters())
            assert vector.numel() == sum(p.numel() for p in model.parameters())
        """,
    ),
    idiom(
        "frozen_by_the_test",
        right=network("Frozen"),
        wrong=network("Frozen", "self.body(x) * 0"),
        test="""
            model = Frozen(3).eval()
            for parameter in model.parameters():
                parameter.requires_grad_(False)
            model.body[3].weight.requires_grad = True
            model(torch.ones(1, 3)).sum().backward()
            assert model.body[0].weight.grad is None
            assert model.body[3].weight.grad.abs().sum() > 0
        """,
    ),
    idiom(
        "frozen_by_the_student",
        right="""
            def freeze(model):
                for parameter in model.parameters():
                    parameter.requires_grad = False
        """,
        wrong="""
            def freeze(model):
                model.eval()
        """,
        test="""
            model = nn.Linear(2, 2)
            freeze(model)
            assert not any(p.requires_grad for p in model.parameters())
        """,
    ),
    idiom(
        "optimizer_class_of_the_student",
        right="""
            class Descent:
                def __init__(self, params, lr):
                    self.params, self.lr = list(params), lr

                def step(self):
                    for p in self.params:
                        p.data -= self.lr * p.grad

                def zero_grad(self):
                    for p in self.params:
                        p.grad = None
        """,
        wrong="""
            class Descent:
                def __init__(self, params, lr):
                    self.params, self.lr = list(params), lr

                def step(self):
                    for p in self.params:
                        p.data -= p.grad

                def zero_grad(self):
                    for p in self.params:
                        p.grad = None
        """,
        test="""
            w = torch.tensor([1.0, 2.0], requires_grad=True)
            optimizer = Descent([w], lr=0.1)
            for _ in range(3):
                (w**2).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
            torch.testing.assert_close(w.detach(), torch.tensor([1.0, 2.0]) * 0.8**3)
            assert w.grad is None
        """,
    ),
    idiom(
        "torch_optimizer_of_the_student",
        right="""
            class Plain(torch.optim.Optimizer):
                def __init__(self, params, lr=0.1):
                    super().__init__(params, {"lr": lr})

                @torch.no_grad()
                def step(self, closure=None):
                    for group in self.param_groups:
                        for p in group["params"]:
                            p -= group["lr"] * p.grad
        """,
        wrong="""
            class Plain(torch.optim.Optimizer):
                def __init__(self, params, lr=0.1):
                    super().__init__(params, {"lr": lr})

                def step(self, closure=None):
                    pass
        """,
        test="""
            model = nn.Linear(2, 1)
            optimizer = Plain(model.parameters(), lr=1.0)
            before = model.weight.detach().clone()
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            torch.testing.assert_close(model.weight.detach(), before - 1)
            assert isinstance(optimizer, torch.optim.Optimizer)
        """,
    ),
    idiom(
        "optimizer_of_the_test",
        right=network("Trained"),
        wrong=network("Trained", "self.body(x).detach() + self.conv.weight.sum()"),
        test="""
            torch.manual_seed(0)
            model = Trained(6).eval()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
            before = F.cross_entropy(model(points), labels).item()
            for _ in range(15):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(points), labels)
                loss.backward()
                optimizer.step()
            assert loss.item() < before - 0.1, (before, loss.item())
        """,
    ),
    idiom(
        "training_by_the_student",
        right="""
            def train_for(model, x, y, steps):
                optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
                for _ in range(steps):
                    optimizer.zero_grad()
                    loss = F.cross_entropy(model(x), y)
                    loss.backward()
                    optimizer.step()
                model.eval()
                return loss.item()
        """,
        wrong="""
            def train_for(model, x, y, steps):
                model.eval()
                return 0.0
        """,
        test="""
            torch.manual_seed(0)
            model = nn.Linear(6, 2)
            first, before = F.cross_entropy(model(points), labels).item(), model.weight.clone()
            train_for(model, points, labels, 20)
            assert not torch.equal(before, model.weight)
            assert F.cross_entropy(model(points), labels).item() < first - 0.1
            assert not model.training
        """,
    ),
    idiom(
        "measured_by_a_given_helper",
        right=network("Measured")
        + """
measured = Measured(6)
with torch.no_grad():
    for parameter in measured.body.parameters():
        parameter.zero_()
    measured.body[0].weight[0, :2] = 1
    measured.body[3].weight[1, 0] = 1
    measured.body[3].bias[0] = 1e-3
""",
        wrong=network("Measured") + "\nmeasured = Measured(6)\n",
        test="""
            loader = DataLoader(TensorDataset(points, labels), batch_size=16)
            got = accuracy(measured, loader)
            assert got > 0.95, f"expected more than 95 %, got {got:.0%}"
        """,
    ),
    idiom(
        "trained_by_a_given_helper",
        right=network("Fitted"),
        wrong=network("Fitted", "self.body(x) * 0"),
        test="""
            torch.manual_seed(0)
            model = Fitted(6)
            loader = DataLoader(TensorDataset(points, labels), batch_size=32)
            losses = train(model, loader, epochs=10, lr=0.3)
            assert len(losses) == 30
            assert accuracy(model, loader) > 0.7, accuracy(model, loader)
        """,
    ),
    idiom(
        "loader_given_as_argument",
        right="""
            def fitted(model, loader, epochs):
                return train(model, loader, epochs, lr=0.3)
        """,
        wrong="""
            def fitted(model, loader, epochs):
                return [1.0] * (3 * epochs)
        """,
        test="""
            torch.manual_seed(0)
            model = nn.Linear(6, 2)
            history = fitted(model, DataLoader(TensorDataset(points, labels), batch_size=32), 6)
            assert len(history) == 18
            assert accuracy(model, DataLoader(TensorDataset(points, labels), batch_size=96)) > 0.85
        """,
    ),
    idiom(
        "dataset_class",
        right="""
            class Ramp(Dataset):
                def __len__(self):
                    return 10

                def __getitem__(self, index):
                    if index >= 10:
                        raise IndexError(index)
                    return torch.full((2,), float(index)), index % 2
        """,
        wrong="""
            class Ramp(Dataset):
                def __len__(self):
                    return 10

                def __getitem__(self, index):
                    return torch.zeros(2), 0
        """,
        test="""
            ramp = Ramp()
            assert len(ramp) == 10 and ramp[3][1] == 1
            with pytest.raises(IndexError, match="10"):
                ramp[10]
            x, y = next(iter(DataLoader(ramp, batch_size=4)))
            assert x.shape == (4, 2) and y.tolist() == [0, 1, 0, 1]
        """,
    ),
    idiom(
        "sklearn_estimator",
        right="""
            from sklearn.linear_model import LogisticRegression

            classifier = LogisticRegression().fit(points.numpy(), labels.numpy())
        """,
        wrong="""
            from sklearn.dummy import DummyClassifier

            classifier = DummyClassifier().fit(points.numpy(), labels.numpy())
        """,
        test="""
            from sklearn.metrics import accuracy_score

            assert classifier.score(points.numpy(), labels.numpy()) > 0.9
            assert accuracy_score(labels.numpy(), classifier.predict(points.numpy())) > 0.9
            assert classifier.coef_.shape == (1, 6)
        """,
    ),
]
