"""The rule sets are data: their constants, their tasks, and where each comes from."""

import pytest

from micronet_resources.operations import KINDS, MAC_KINDS
from micronet_resources.rules import RULES, rule_set

TASKS = [(rules.name, task) for rules in RULES.values() for task in rules.tasks.values()]


def named(pairs):
    return {"argvalues": pairs, "ids": [f"{rules}-{task.data}" for rules, task in pairs]}


def test_there_are_three_rule_sets():
    assert list(RULES) == ["course2025", "course2023", "neurips2019"]
    for name, rules in RULES.items():
        assert rules.name == name
        assert rule_set(name) is rules
        assert rules.source.startswith("https://")


@pytest.mark.parametrize(
    ("rules", "data", "params", "operations", "percent"),
    [
        ("course2025", "cifar10", 5_600_000, 280_000_000, 90),
        ("course2025", "cifar100", 36_536_884 // 2, 5_243_386_368 // 2, 80),
        ("course2025", "patterns", 72_954 // 2, 9_880_192 // 2, 90),
        ("course2023", "cifar10", 5_586_981, 834_362_880, 90),
        ("course2023", "cifar100", 36_500_000, 10_490_000_000, 80),
        ("neurips2019", "cifar100", 36_500_000, 10_490_000_000, 80),
        ("neurips2019", "imagenet", 6_900_000, 1_170_000_000, 75),
        ("neurips2019", "cifar10", 11_173_962, 2 * 555_422_720, 90),
        ("neurips2019", "patterns", 72_954, 2 * 9_880_192, 90),
    ],
)
def test_published_references_and_thresholds(rules, data, params, operations, percent):
    task = rule_set(rules).task(data)
    assert (task.reference_params, task.reference_ops, task.threshold_percent) == (params, operations, percent)


@pytest.mark.parametrize(("rules", "task"), **named(TASKS))
def test_a_task_says_what_goes_in_and_out_and_where_it_comes_from(rules, task):
    shape, classes = {
        "cifar10": ((3, 32, 32), 10),
        "cifar100": ((3, 32, 32), 100),
        "imagenet": ((3, 224, 224), 1000),
        "patterns": ((3, 32, 32), 10),
    }[task.data]
    assert (task.input_shape, task.num_classes) == (shape, classes)
    assert task.sizes_vary == (task.data == "imagenet")
    assert task.reference
    assert task.source


def test_extensions_of_the_kit_are_marked_as_such():
    extensions = {(rules, task.data) for rules, task in TASKS if task.source.startswith("extension of the kit")}
    assert extensions == {
        *((rules, "patterns") for rules in RULES),
        ("course2025", "cifar100"),
        ("neurips2019", "cifar10"),
    }


def test_the_course_rounds_half_a_resnet18():
    task = rule_set("course2025").task("cifar10")
    assert task.reference_params == round(11_173_962 / 2, -5)
    assert task.reference_ops == round(555_422_720 / 2, -7)


def test_default_tasks():
    assert [rules.task().data for rules in RULES.values()] == ["cifar10", "cifar10", "cifar100"]


def test_what_differs_between_the_rule_sets():
    course2025, course2023, neurips2019 = RULES.values()
    assert [rules.operation_terms for rules in RULES.values()] == [
        ("operations",),
        ("multiplications", "additions", "normalization"),
        ("multiplications", "additions"),
    ]
    assert [rules.mask_bits for rules in RULES.values()] == [0, 0, 1]
    assert [rules.counts_tables for rules in RULES.values()] == [True, False, True]
    assert [rules.values_per_entry for rules in RULES.values()] == [None, 8, None]
    assert [rules.skips_zeros for rules in RULES.values()] == [False, False, True]
    assert [rules.free_bits for rules in RULES.values()] == [None, None, 16]
    assert [rules.signs_bits for rules in RULES.values()] == [None, None, 1]
    assert [rules.folds_normalization for rules in RULES.values()] == [False, False, True]
    assert course2025.multiplied == course2023.multiplied == {*MAC_KINDS, "product"}
    assert not course2025.added
    assert neurips2019.multiplied == neurips2019.added == set(KINDS)


def test_points_are_given_where_a_scale_is_published():
    assert [(rules, task.data) for rules, task in TASKS if task.has_points] == [
        ("course2025", "patterns"),
        ("course2025", "cifar10"),
    ]
    patterns = rule_set("course2025").task("patterns")
    assert (patterns.start_score, patterns.target_score) == (4.0, 0.5)


@pytest.mark.parametrize(("rules", "task"), **named([pair for pair in TASKS if not pair[1].has_points]))
def test_a_task_without_points_has_no_scale(rules, task):
    with pytest.raises(ValueError, match=f"'{task.data}' has no scale of points"):
        task.scale(12)


def test_unknown_names_name_the_nearest():
    with pytest.raises(ValueError, match="'course2024'.*did you mean 'course2025'"):
        rule_set("course2024")
    with pytest.raises(ValueError, match="no task on 'pattern'.*did you mean 'patterns'.*Known: patterns, cifar10"):
        rule_set("course2025").task("pattern")
    with pytest.raises(ValueError, match="no rule set is called None"):
        rule_set(None)


@pytest.mark.parametrize("rules", ["course2025", "course2023"])
def test_a_task_of_other_rules_says_which_have_it(rules):
    with pytest.raises(ValueError, match=f"{rules} has no task on 'imagenet'.*neurips2019 has it"):
        rule_set(rules).task("imagenet")


def test_rules_cannot_be_changed():
    rules = RULES["course2025"]
    with pytest.raises(TypeError):
        RULES["mine"] = rules
    with pytest.raises(TypeError):
        rules.tasks["mine"] = None
    with pytest.raises(AttributeError):
        rules.mask_bits = 1
    with pytest.raises(AttributeError):
        rules.task("cifar10").reference_params = 1
    with pytest.raises(AttributeError):
        rules.multiplied.clear()


@pytest.mark.parametrize(
    ("rules", "data", "total", "needed"),
    [
        ("course2025", "cifar10", 10_000, 9_000),
        ("course2025", "cifar10", 2_000, 1_800),
        ("course2025", "cifar10", 11, 10),
        ("course2025", "cifar10", 1, 1),
        ("neurips2019", "cifar100", 10_000, 8_000),
        ("neurips2019", "imagenet", 50_000, 37_500),
    ],
)
def test_the_threshold_is_not_rounded(rules, data, total, needed):
    assert rule_set(rules).task(data).needed(total) == needed
