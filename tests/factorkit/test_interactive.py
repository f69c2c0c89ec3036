"""Frames of interactive parts: what they hold survives the way through HTML, and nothing can break out of them."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from factorkit.interactive import Part, packed


def data_in(html: str) -> object:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL).group(1))


def test_data_comes_back_whatever_it_holds():
    data = {"text": "</script><!-- <script> & \u2028 ä", "numbers": [1, 0.1, None, True]}
    html = Part("costs", "Costs", data, "<p>static</p>").to_html()
    assert data_in(html) == data
    assert html.count("<script") == 3 and "<p>static</p>" in html


def test_the_label_is_plain_text():
    html = Part("costs", 'a "b" <i>', {}, "").to_html()
    assert 'aria-label="a &quot;b&quot; &lt;i&gt;"' in html


@pytest.mark.parametrize("root", ["../../", "../"])
def test_scripts_are_local_and_lie_where_the_page_says(root):
    html = Part("costs", "Costs", {}, "", root=root).to_html()
    found = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert found == [f"{root}_static/interactive/{name}" for name in ("parts.css", "kit.js", "costs.js")]


@pytest.mark.parametrize("name", ["", "../x", "a b", "costs.js"])
def test_a_name_that_is_no_script_is_refused(name):
    with pytest.raises(ValueError, match="give the name of a script"):
        Part(name, "Costs", {}, "")


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        Part("costs", "Costs", {"rate": float("nan")}, "")


@pytest.mark.parametrize("kind", ["uint8", "float32", ">f4"])
def test_packed_numbers_come_back(kind):
    values = np.arange(12, dtype=kind).reshape(3, 4)[:, ::2]
    found = packed(values)
    read = np.frombuffer(base64.b64decode(found["base64"]), {"uint8": "u1", "float32": "<f4"}[found["type"]])
    assert np.array_equal(read.reshape(found["shape"]), values)


def test_other_numbers_are_refused():
    with pytest.raises(ValueError, match="convert it first"):
        packed(np.zeros(3))
