"""Plans: what a file may say, and how it hears of what it may not."""

from pathlib import Path

import pytest

from sampler import SamplerError
from sampler.comparison import SHIPPED_PLANS, load_plan, read_plan, shipped_plan

PLAN = """
name = "small"
key = 1
pictures = 60
margin = 5.0

[[arms]]
name = "software"
group = "baseline"
source = { kind = "software" }
"""
ARM = '\n[[arms]]\nname = "other"\ngroup = "bias"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (PLAN.replace("margin = 5.0", ""), "margin: Field required"),
        (PLAN.replace('"software" }', '"biased" }'), "biased needs p"),
        (PLAN.replace('"software" }', '"software", p = 0.5 }'), "software takes no p"),
        (PLAN.replace('"software" }', '"magic" }'), "arms.0.source.kind"),
        (PLAN + PLAN[PLAN.index("[[") :], "stands there twice"),
        (PLAN + ARM + 'source = { kind = "os" }\nmodel = "mine"', "which \\[models\\] does not describe"),
        (PLAN + ARM + 'source = { kind = "os" }\nagainst = "it"', "which is no arm of this plan"),
        (PLAN + ARM + 'source = { kind = "os" }\nconditioning = "salt"', "salt"),
        (PLAN + ARM + 'source = { kind = "os" }\nconditioning = "peres"', "it works on a store's bits"),
        (PLAN + ARM + 'source = { kind = "os" }\nbits_per_normal = 3', "one of 32, 16, 12, 8, 4, 2, 1"),
        (PLAN + ARM + 'source = { kind = "os" }\ncolour = "red"', "colour"),
        (PLAN + '\n[models.a]\npath = "x"\ntrain = {}\n', "give one of the two"),
        (PLAN.replace('"software"\ngroup', '"../up"\ngroup'), "arms.0.name"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_wrong_plan_is_one_sentence_that_names_the_place(text: str, sentence: str) -> None:
    with pytest.raises(SamplerError, match=sentence) as caught:
        read_plan(text, "plan.toml")
    assert str(caught.value).startswith("plan.toml")
    assert "\n" not in str(caught.value)


def test_seeds_follow_from_the_key_and_the_words_alone() -> None:
    plan = read_plan(PLAN, "plan.toml")
    assert plan.seed("sampling", "software", 0) == read_plan(PLAN, "elsewhere").seed(
        "sampling", "software", 0
    )
    seeds = {plan.seed("sampling", "software", run) for run in range(100)} | {
        plan.seed("sampling", "other", 0)
    }
    assert len(seeds) == 101
    assert plan.seed(1) != read_plan(PLAN.replace("key = 1", "key = 2"), "plan.toml").seed(1)


@pytest.mark.parametrize("name", SHIPPED_PLANS)
def test_shipped_plans_can_be_read(name: str) -> None:
    assert shipped_plan(name).arms


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SamplerError, match="cannot be read"):
        load_plan(tmp_path / "none.toml")
