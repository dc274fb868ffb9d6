"""The page of a run: what it says, that it stays small, loads nothing, and runs nothing that came from a document."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pages import BACK, BEGAN, HOSTILE, RESTARTS, STEP_TOKENS, facts, loss_at, proof, write
from reports import step_report

from headrace.audit.findings import Findings
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.training import IdleReport
from headrace.page.axes import time_axis, value_axis
from headrace.page.chart import Drawing
from headrace.page.gather import ATTEMPTS, NAMES, OTHER, Documents, Training, newest
from headrace.page.page import render
from headrace.page.sections import final_loss
from headrace.page.series import Points, Series
from headrace.page.words import number, share, short, size, span

VOID = {"meta", "link", "path", "br"}


class Outline(HTMLParser):
    """Checks that elements nest, and gathers titles, tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.named: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.named += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_it_says_first_what_matters_most(tmp_path: Path) -> None:
    outline = Outline(write(tmp_path / "page.html").read_text())
    said = " ".join(" ".join(outline.text).split())
    first = said[said.index("Headrace, run main") : said.index("Does it learn?")]
    for part in ("lost 0 · duplicated 0 · in flight 0", "1,000 accepted documents trained exactly once", "183,000"):
        assert part in first
    assert f"{loss_at(0, 183):.2f} → {final_loss(facts().training):.2f}" in first
    assert re.search(r"text 5\.\d s old", first)
    assert "2026-11-28 04:00:09 UTC to" in first
    for part in ("gopher_short_doc", "started 3 times; 20 steps were trained again", "of step 180, written 2026-11-28"):
        assert part in said
    assert outline.tags.count("h1") == 1
    assert all(count in said for count in ("800 were accepted (80 %)", "200 rejected", "oldest text of a step"))


def test_it_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html").read_text()
    assert not re.search(r"https?:|//|@import|url\(|srcset|<script", page, re.IGNORECASE)
    outline = Outline(page)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(outline.tags)
    links = [value for name, value in outline.named if name in ("src", "href", "data", "action")]
    assert links == ["data:,"]
    assert not [name for name, _ in outline.named if name.startswith("on")]
    assert page.count("&lt;script&gt;alert(&#34;x&#34;)") >= 4  # source, language, reason, and what is written
    assert HOSTILE not in page


def test_a_chart_is_named_by_its_question_and_has_units(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html").read_text()
    charts = re.findall(r'<div class="chart" role="img" aria-label="([^"]*)">\s*<p class="unit">([^<]*)</p>', page)
    assert len(charts) == 6
    assert all("?" in question and unit for question, unit in charts)
    units = [unit for _, unit in charts]
    assert units[:3] == ["nats a token", "nats a token", "seconds old"]
    assert re.findall(r'class="unit below">([^<]*)<', page) == [
        "tokens trained",
        *["time (UTC), 28 Nov 2026"] * 5,
    ]


def test_a_long_run_makes_no_larger_page(tmp_path: Path) -> None:
    found = facts(steps=20_000, step_ms=30_000, restarts=(5_000, 15_000))
    page = write(tmp_path / "page.html", found)
    assert page.stat().st_size < 200_000
    assert len(found.training.by_tokens.stretches) <= 1_000
    assert "28 Nov 2026 to 05 Dec 2026" in page.read_text()
    assert "least to greatest" in page.read_text()


def test_a_broken_promise_comes_first(tmp_path: Path) -> None:
    wrong = Findings()
    wrong.add("no_outcome", f"text.raw[0]@5 {HOSTILE}")
    page = write(tmp_path / "page.html", report=proof(wrong)).read_text()
    assert '<h1 class="bad">lost 1 · duplicated 0 · in flight 0</h1>' in page
    assert "The logs contradict what is promised: no_outcome." in page
    assert "text.raw[0]@5 &lt;script&gt;" in page


def test_without_verify_it_claims_nothing() -> None:
    page = render(facts(), None, BEGAN)
    assert '<h1 class="unknown">not verified</h1>' in page
    assert "exactly once" not in page
    assert "Is every document there" not in page


def test_the_shortest_run_has_a_page(tmp_path: Path) -> None:
    found = facts(steps=1, restarts=())
    found.manifests, found.documents, found.entropy_blocks = (), Documents(), 0
    found.windows.by_time = Series()
    Outline(write(tmp_path / "page.html", found).read_text())
    found.training = Training("main")
    found.training.take(step_report(loss=float("nan"), time=BEGAN))
    page = write(tmp_path / "page.html", found).read_text()
    assert "started once and never interrupted" in page


def test_a_step_that_was_trained_again_counts_once_in_the_loss_over_tokens() -> None:
    training = facts().training
    points = training.by_tokens.points("loss")
    assert points.x.tolist() == [STEP_TOKENS * (step + 1) for step in range(183)]
    assert points.mean == pytest.approx([loss_at(step, 183) for step in range(183)])
    assert (training.reports, training.again) == (183 + len(RESTARTS) * BACK, len(RESTARTS) * BACK)
    assert [(one.first_step, one.last_step, one.again) for one in training.attempts.values()] == [
        (0, 60, 0),
        (51, 120, 10),
        (111, 182, 10),
    ]


def test_a_loss_that_is_no_number_takes_nothing_from_the_mean_of_the_others() -> None:
    training = Training("main")
    for step in range(4):
        training.take(step_report(step=step, time=BEGAN, loss=float("nan") if step % 2 else 5.0))
    assert training.by_time.points("loss").mean.tolist() == [5.0]
    assert training.by_time.points("tokens").mean.tolist() == [step_report().tokens]


def test_languages_are_counted_though_not_all_of_them_are_shown() -> None:
    found = facts()
    found.documents.languages = Counter({"": 500} | {f"l{number_}": 40 - number_ for number_ in range(30)})
    page = render(found, None, BEGAN)
    assert "Most accepted documents, 3 %, are in l0; 30 languages in all. Of 40 % the language was not told." in page


def test_reports_of_other_runs_and_of_idle_times_are_told_apart() -> None:
    training = Training("main")
    training.take(step_report(run="other", step=7))
    training.take(step_report(step=0, time=1, save_error="no room"))
    training.take(IdleReport(run="main", attempt="a", seq=2, step=1, fed="", time=9, save_error="no room"))
    assert (training.reports, training.others, training.heard) == (1, {"other"}, 9)
    assert training.save_errors == {"no room": 2}


def test_what_is_counted_by_name_stays_bounded() -> None:
    training, documents = Training("main"), Documents()
    for step in range(2 * NAMES):
        training.take(step_report(step=step, attempt=str(step), sources={f"s{step}": (1, 1.0)}))
        documents.accept(b'{"language": null, "source": "s%d"}' % step, step, Coordinate("text.clean", 0, step))
    assert len(training.sources) == len(documents.sources) == NAMES + 1
    assert training.sources[OTHER][0] == documents.sources[OTHER] == NAMES
    assert (len(training.attempts), training.attempts_before) == (ATTEMPTS, 2 * NAMES - ATTEMPTS)


def test_what_tokenize_rejects_was_not_accepted() -> None:
    documents = Documents()
    for offset in range(3):
        documents.accept(b'{"language": "en", "source": ""}', 5, Coordinate("text.clean", 0, offset))
    documents.reject(RejectedHeaders("no_tokens", "tokenize", "", (0, 1)), 5)
    assert (documents.accepted, documents.rejected) == (2, 1)
    assert documents.by_time.totals("accepted").tolist() == [2]
    with pytest.raises(RecordError, match=r"text\.clean\[0\]@9: not a document"):
        documents.accept(b"{}", 5, Coordinate("text.clean", 0, 9))


def test_quantiles_of_the_age_are_right_within_a_percent() -> None:
    training = Training("main")
    for step in range(1, 1_001):
        training.take(step_report(step=step, age_s=step / 10))
    assert training.age(0.5) == pytest.approx(50, rel=0.01)
    assert training.age(0.95) == pytest.approx(95, rel=0.01)


def test_a_series_keeps_sums_and_extremes_however_often_it_is_folded() -> None:
    dice = np.random.default_rng(1)
    xs, values, weights = dice.permutation(50_000), dice.normal(size=50_000), dice.integers(1, 9, 50_000)
    series = Series(most=100)
    for x, value, weight in zip(xs.tolist(), values.tolist(), weights.tolist(), strict=True):
        series.add(x, {"v": value}, weight)
    points = series.points("v")
    assert 50 <= len(points.x) <= 100
    assert series.totals("v").sum() == pytest.approx((values * weights).sum())
    assert (points.low.min(), points.high.max()) == (values.min(), values.max())
    first = xs < series.width
    assert points.mean[0] == pytest.approx(np.average(values[first], weights=weights[first]))
    assert points.x[0] == pytest.approx(xs[first].mean())
    coarse = series.coarser(10)
    assert len(coarse.edges()) <= 11
    assert coarse.totals("v").sum() == pytest.approx((values * weights).sum())


def test_stray_times_do_not_flatten_the_others() -> None:
    series = Series()
    for number_ in range(1_000):
        series.add(BEGAN + number_, {"v": 1})
    assert series.between(0.005)[1] == 0
    series.add(0, {"v": 1})
    inner, stray = series.between(0.005)
    assert stray >= 1
    assert inner.edges()[0] >= BEGAN - inner.width


def test_a_line_breaks_at_a_pause() -> None:
    x = np.array([0.0, 1, 2, 50, 51, 99])
    drawing = Drawing(value_axis("x", 0, 100, True), value_axis("y", 0, 1))
    drawing.line(Points(x, x * 0, x * 0, x * 0), "line", 0, "band")
    assert drawing.shapes[-1].count("M") == 3
    assert drawing.shapes[-1].count("h0") == 1
    assert [key.label for key in drawing.keys] == ["line"]


def test_axes_have_few_round_ticks() -> None:
    assert [tick.label for tick in value_axis("", 4.87, 8.02).ticks] == ["4", "5", "6", "7", "8", "9"]
    assert [tick.label for tick in value_axis("", 0, 183_000, True).ticks] == ["0", "50k", "100k", "150k"]
    assert len(value_axis("", 3, 3).ticks) >= 2
    for seconds in (1, 7, 64, 600, 5_000, 86_400, 10 * 86_400, 900 * 86_400):
        assert 1 <= len(time_axis(BEGAN, BEGAN + seconds * 1000).ticks) <= 6
    assert [tick.label for tick in time_axis(BEGAN + 9_000, BEGAN + 64_000).ticks] == [
        "04:00:20",
        "04:00:40",
        "04:01:00",
    ]


def test_numbers_read_well() -> None:
    assert [number(1234567), number(0.25), number(12.345)] == ["1,234,567", "0.25", "12.3"]
    assert [short(12_000), short(1.5e6), short(0.25)] == ["12k", "1.5M", "0.25"]
    assert [span(4.1), span(0.05), span(200), span(9_000), span(200_000)] == [
        "4.1 s",
        "50 ms",
        "3.3 min",
        "2.5 h",
        "2.3 days",
    ]
    assert [size(512), size(21_000_000)] == ["512 bytes", "20.0 MiB"]
    assert [share(1, 8), share(1, 1_000), share(0, 0)] == ["12 %", "0.1 %", "0 %"]


def test_only_the_newest_blocks_are_counted() -> None:
    assert newest({0: 50, 1: 0}, {0: 60, 1: 60}, 20) == {0: 50, 1: 40}
