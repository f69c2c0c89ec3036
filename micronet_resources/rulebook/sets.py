"""The three rule sets of the challenge."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from micronet_resources.operations import KINDS, MAC_KINDS
from micronet_resources.rulebook.records import RuleSet, Task

__all__ = ["COURSE_2023", "COURSE_2025", "NEURIPS_2019"]

COURSE = "https://github.com/brain-bzh/efficient-deep-learning"
OFFICIAL = "https://micronet-challenge.github.io"
KIT = "extension of the kit"

PATTERNS = {"input_shape": (3, 32, 32), "num_classes": 10, "threshold_percent": 90, "reference": "small_convnet"}
CIFAR10 = {"input_shape": (3, 32, 32), "num_classes": 10, "threshold_percent": 90, "reference": "resnet18_cifar"}
CIFAR100 = {"input_shape": (3, 32, 32), "num_classes": 100, "threshold_percent": 80, "reference": "WRN-28-10"}
IMAGENET = {"input_shape": (3, 224, 224), "num_classes": 1000, "threshold_percent": 75, "reference": "MobileNetV2-1.4"}


def _tasks(**tasks: Mapping[str, Any]) -> Mapping[str, Task]:
    return MappingProxyType({data: Task(data=data, **fields) for data, fields in tasks.items()})


COURSE_2025 = RuleSet(
    name="course2025",
    description=(
        "Stored bits and multiply-accumulates, each relative to the reference network in half precision. "
        "Quantization and pruning make both smaller; masks, normalization, activations and additions are free."
    ),
    source=f"{COURSE}, lab 4, formula of 2025",
    tasks=_tasks(
        patterns={
            **PATTERNS,
            "reference_params": 36_477,
            "reference_ops": 4_940_096,
            "source": f"{KIT}: half of small_convnet, which has 72,954 parameters and 9,880,192 MACs",
            "floor_percent": 30,
            "threshold_share": 0.5,
            "start_score": 4.0,
            "target_score": 0.5,
        },
        cifar10={
            **CIFAR10,
            "reference_params": 5_600_000,
            "reference_ops": 280_000_000,
            "source": "the course: half of a ResNet-18 for 32 x 32 images, rounded",
            "floor_percent": 30,
            "threshold_share": 0.5,
            "start_score": 3.979,
            "target_score": 0.2,
        },
        cifar100={
            **CIFAR100,
            "reference_params": 18_268_442,
            "reference_ops": 2_621_693_184,
            "source": f"{KIT}: half of WRN-28-10, which has 36,536,884 parameters and 5,243,386,368 MACs; "
            "threshold of the course's rules of 2023",
        },
    ),
    default_task="cifar10",
    multiplied=frozenset({*MAC_KINDS, "product"}),
    added=frozenset(),
    per_normalized=None,
    mask_bits=0,
    counts_tables=True,
    values_per_entry=None,
    skips_zeros=False,
    signs_bits=None,
    free_bits=None,
    folds_normalization=False,
)

COURSE_2023 = RuleSet(
    name="course2023",
    description=(
        "Non-zero parameters at their width, and multiplications at theirs plus additions at 32 bits, relative to the "
        "reference network at 16 bits. Tables, scales and masks, activations and pooling are free."
    ),
    source=f"{COURSE}, micronet-ressources/profile.py of 2023",
    tasks=_tasks(
        patterns={
            **PATTERNS,
            "reference_params": 36_477,
            "reference_ops": 14_934_976,
            "source": f"{KIT}: small_convnet under these rules at 16 bits",
        },
        cifar10={
            **CIFAR10,
            "reference_params": 5_586_981,
            "reference_ops": 834_362_880,
            "source": "the course's script: a ResNet-18 for 32 x 32 images under these rules at 16 bits",
        },
        cifar100={
            **CIFAR100,
            "reference_params": 36_500_000,
            "reference_ops": 10_490_000_000,
            "source": "the course's script: WRN-28-10 as in the MicroNet Challenge, at 32 bits",
        },
    ),
    default_task="cifar10",
    multiplied=frozenset({*MAC_KINDS, "product"}),
    added=frozenset({*MAC_KINDS, "bias"}),
    per_normalized=3,
    mask_bits=0,
    counts_tables=False,
    values_per_entry=8,
    skips_zeros=False,
    signs_bits=None,
    free_bits=None,
    folds_normalization=False,
)

NEURIPS_2019 = RuleSet(
    name="neurips2019",
    description=(
        "Everything that is stored, masks included, and every multiplication at the width of its widest factor plus "
        "every addition at 32 bits, relative to the reference network at 32 bits. What is never narrower than 16 bits "
        "may be stored and multiplied at 16."
    ),
    source=f"{OFFICIAL}, scoring and submission, with counting.py of the organizers",
    tasks=_tasks(
        patterns={
            **PATTERNS,
            "reference_params": 72_954,
            "reference_ops": 19_760_384,
            "source": f"{KIT}: small_convnet, two operations for each of its 9,880,192 MACs",
        },
        cifar10={
            **CIFAR10,
            "reference_params": 11_173_962,
            "reference_ops": 1_110_845_440,
            "source": f"{KIT}: a ResNet-18 for 32 x 32 images, two operations for each of its 555,422,720 MACs; "
            "threshold of the course",
        },
        cifar100={
            **CIFAR100,
            "reference_params": 36_500_000,
            "reference_ops": 10_490_000_000,
            "source": f"the challenge ({OFFICIAL})",
        },
        imagenet={
            **IMAGENET,
            "reference_params": 6_900_000,
            "reference_ops": 1_170_000_000,
            "source": f"the challenge ({OFFICIAL})",
            "sizes_vary": True,
        },
    ),
    default_task="cifar100",
    multiplied=frozenset(KINDS),
    added=frozenset(KINDS),
    per_normalized=None,
    mask_bits=1,
    counts_tables=True,
    values_per_entry=None,
    skips_zeros=True,
    signs_bits=1,
    free_bits=16,
    folds_normalization=True,
)
