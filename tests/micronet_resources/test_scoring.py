"""The formula of the course, its published numbers, and every input that it must refuse."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factorkit.models import resnet18_cifar
from micronet_resources.profile import profile_model, score
from micronet_resources.rules import RULES, rule_set

RESNET18 = SimpleNamespace(params=11_173_962, macs=555_422_720)


@pytest.mark.parametrize(("bits", "expected"), [(32, 3.9790), (16, 1.9895), (8, 0.9948)])
def test_the_reference_network_at_several_widths(bits, expected):
    result = score(profile_model(resnet18_cifar(), (3, 32, 32)), weight_bits=bits, activation_bits=bits)
    assert float(result) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"weight_bits": 16, "activation_bits": 16, "pruned_unstructured": 0.9}, 1.0916),
        ({"weight_bits": 1, "activation_bits": 16}, 1.0542),
        ({"weight_bits": 1, "activation_bits": 1}, 0.1243),
    ],
)
def test_worked_examples(options, expected):
    assert float(score(RESNET18, **options)) == pytest.approx(expected, abs=5e-5)


@given(
    st.integers(0, 10**8),
    st.integers(0, 10**10),
    st.integers(1, 32),
    st.integers(1, 32),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_score_is_the_formula(params, macs, q_w, q_a, first, second):
    p_s, p_u = first, second * (1 - first)
    result = score(
        SimpleNamespace(params=params, macs=macs),
        weight_bits=q_w,
        activation_bits=q_a,
        pruned_structured=p_s,
        pruned_unstructured=p_u,
    )
    parameters = (1 - (p_s + p_u)) * (q_w / 32) * params / 5.6e6
    operations = (1 - p_s) * (max(q_w, q_a) / 32) * macs / 2.8e8
    assert result.parameter_term == pytest.approx(parameters, abs=1e-9)
    assert result.operation_term == pytest.approx(operations, abs=1e-9)
    assert float(result) == result.parameter_term + result.operation_term
    assert result.parameter_term >= 0
    assert result.operation_term >= 0


@pytest.mark.parametrize("name", ["weight_bits", "activation_bits"])
@pytest.mark.parametrize("bits", [0, 33, -1, 0.5, 16.0, "16", None, True])
def test_widths_that_are_refused(name, bits):
    with pytest.raises(ValueError, match=f"{name}=.*1 to 32"):
        score(RESNET18, **{name: bits})


@pytest.mark.parametrize("name", ["pruned_structured", "pruned_unstructured"])
@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True])
def test_fractions_that_are_refused(name, fraction):
    with pytest.raises(ValueError, match=f"{name}=.*0 to 1"):
        score(RESNET18, **{name: fraction})


def test_more_than_all_weights_cannot_be_pruned():
    with pytest.raises(ValueError, match=r"0\.7 \+ 0\.5 is more than all weights.*u \* 0\.3"):
        score(RESNET18, pruned_structured=0.7, pruned_unstructured=0.5)
    everything = score(RESNET18, pruned_structured=0.7, pruned_unstructured=0.3)
    assert everything.parameter_term == pytest.approx(0, abs=1e-12)
    assert everything.parameter_term >= 0


def test_the_score_explains_itself():
    text = repr(score(RESNET18, weight_bits=4, activation_bits=8, pruned_structured=0.25, pruned_unstructured=0.5))
    assert text.splitlines() == [
        "Score 0.4343 under course2025 (lower is better)",
        "  parameters   0.0624 = [1 - (0.25 + 0.5)] * 4/32 * 11,173,962 / 5,600,000",
        "  operations   0.3719 = (1 - 0.25) * max(4, 8)/32 * 555,422,720 / 280,000,000",
    ]


def test_unknown_names_name_the_nearest():
    with pytest.raises(ValueError, match="'course2024'.*did you mean 'course2025'"):
        rule_set("course2024")
    with pytest.raises(ValueError, match="Known: course2025"):
        score(RESNET18, "zzz")
    with pytest.raises(ValueError, match="no task on 'pattern'.*did you mean 'patterns'.*Known: patterns, cifar10"):
        rule_set("course2025").task("pattern")
    with pytest.raises(ValueError, match="no rule set is called None"):
        rule_set(None)


def test_rules_cannot_be_changed():
    with pytest.raises(TypeError):
        RULES["mine"] = RULES["course2025"]
    with pytest.raises(AttributeError):
        RULES["course2025"].reference_params = 1
    with pytest.raises(TypeError):
        RULES["course2025"].tasks["mine"] = None


@pytest.mark.parametrize(("total", "needed"), [(10_000, 9_000), (2_000, 1_800), (11, 10), (1, 1)])
def test_the_threshold_is_not_rounded(total, needed):
    assert rule_set("course2025").task("cifar10").needed(total) == needed
