"""Claims that the experiment in two dimensions decides."""

import re

import pytest
import synthetic_records as synthetic
from claim_examples import NOISE, arms, results, spec
from page import pages_of
from plane_files import plane_files

from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from benchmark.studies.plane.settings import Plane
from reports.claims.decide import decide_claims
from reports.claims.register import Register, load_register
from reports.select import select
from reports.site.build import build_site

pytestmark = pytest.mark.usefixtures("undrawn")


def boundary(seeds: int = 8) -> list[RecordFile]:
    """Near outliers win on band and mid, far ones on far; energy follows the density better."""
    auroc = {"near": (0.99, 0.98, 0.96), "far": (0.9, 0.9, 0.99), "cross_entropy": (0.3, 0.2, 0.1)}
    confident = {"near": (0.0, 0.0, 0.2), "far": (0.6, 0.3, 0.0), "cross_entropy": (0.9, 0.9, 0.9)}
    found = []
    for seed in range(seeds):
        for arm in auroc:
            regions = {
                name: {"auroc": a + NOISE[seed] / 10, "confident": abs(c - abs(NOISE[seed])), "n": 9}
                for name, a, c in zip(("band", "mid", "far"), auroc[arm], confident[arm], strict=True)
            }
            density = {"energy": 0.8 + NOISE[seed], "msp": 0.3} if arm == "cross_entropy" else None
            one = {"arm": arm, "seed": seed, "steps": 6000, "accuracy": 0.975, "id_confident": 0.9}
            found.append(one | {"regions": regions, "density": density, "maps": {}})
    return plane_files(found)


def asking() -> Spec:
    """A leaderboard that asks for all of these."""
    return spec().model_copy(update={"boundary": Plane(seeds=list(range(8)))})


def in_two_dimensions(*ids: str) -> Register:
    """Those claims of the own register, only with their tests in two dimensions."""
    own = load_register()
    claims = [
        claim.model_copy(update={"trials": [t for t in claim.trials if t.settings == ["plane"]]})
        for claim in own.claims
        if claim.id in ids
    ]
    return own.model_copy(update={"claims": claims, "central": [], "untested": []})


def test_two_dimensions_decide_the_claims_that_are_about_them():
    claims = in_two_dimensions("C-A6", "C-A13", "C-B6")
    found = decide_claims(claims, asking(), select(asking(), boundary()))
    assert {v.claim.id: v.overall for v in found} == dict.fromkeys(("C-A6", "C-A13", "C-B6"), "supported")
    gains = {f.trial.id: f.outcomes[0].answer.gain.mean for v in found for f in v.findings}
    assert gains == pytest.approx(
        {
            "band_auroc": 0.09,
            "band_confident": 0.6 - 0.0025 - 0.0025,  # the noise's mean size is a quarter of a point
            "mid_auroc": 0.08,
            "mid_confident": 0.3 - 0.0025 - 0.0025,
            "confident": 0.2 - 0.0025 - 0.05,
            "far_at_least_as_good": 0.03,
            "spearman": 0.5,
        }
    )
    turned = [
        file.model_copy(update={"row": {"near": "far", "far": "near"}.get(file.row, file.row)})
        for file in boundary()
    ]
    found = decide_claims(claims, asking(), select(asking(), turned))
    assert {v.claim.id: v.overall for v in found} == {
        "C-A6": "refuted",
        "C-A13": "refuted",
        "C-B6": "supported",
    }


def test_two_dimensions_are_not_run_without_their_file():
    claims = in_two_dimensions("C-A6", "C-A13", "C-B6")
    for v in decide_claims(claims, spec(), select(spec(), [])):
        assert v.overall == "not run"
        for finding in v.findings:
            (gap,) = finding.missing
            assert gap.commands == ("oodbench run --full",)
            assert [str(s) for s in gap.settings] == ["two dimensions · mlp_2_500_500 · he_normal"]


def test_two_dimensions_are_on_the_pages(tmp_path):
    claims = in_two_dimensions("C-A6", "C-B6")
    files = [*results(arms(0.02)), *boundary()]
    build_site(asking(), files, tmp_path, generated=synthetic.NOW, register=claims)
    pages = pages_of(tmp_path)

    def both(name: str) -> tuple[str, str]:
        return pages[name].text, (tmp_path / f"{name}.md").read_text().replace("\\", "")

    for text in (*both("claims/a"), *both("claims/b")):
        assert "two dimensions · mlp_2_500_500 · he_normal" in text
        assert "6000 steps for each classifier" in text
        assert re.search(r"\w+: ID test accuracy \d\d\.\d\d", text)
    for text in both("claims/a"):
        assert "near_outliers: ID test accuracy 97.50" in text
        assert "AUROC of the region band: near_outliers is higher than far_outliers, by 1.00 points" in text
    for text in both("claims"):
        assert "two dimensions: two Gaussian classes and a small network" in text
