"""The names of TeX's mathematical signs, and letters in other styles."""

from __future__ import annotations

__all__ = ["ACCENTS", "FUNCTIONS", "LARGE", "SPACES", "SYMBOLS", "styled"]


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SYMBOLS = _pairs(r"""
alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ nu ν
xi ξ pi π rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ
Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω ell ℓ hbar ℏ Re ℜ Im ℑ aleph ℵ partial ∂ nabla ∇ infty ∞
sum ∑ prod ∏ int ∫ bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂ oint ∮
le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ ll ≪ gg ≫ lt < gt > approx ≈ equiv ≡ sim ∼ simeq ≃ cong ≅ propto ∝ in ∈ notin ∉ ni ∋
subset ⊂ subseteq ⊆ supset ⊃ supseteq ⊇ mid ∣ parallel ∥ perp ⊥ leqslant ⩽ geqslant ⩾ prec ≺ succ ≻ coloneqq ≔
times × cdot ⋅ div ÷ pm ± mp ∓ ast ∗ star ⋆ circ ∘ bullet • oplus ⊕ ominus ⊖ otimes ⊗ odot ⊙ cup ∪ cap ∩ setminus ∖
wedge ∧ land ∧ vee ∨ lor ∨ neg ¬ lnot ¬ forall ∀ exists ∃ emptyset ∅ varnothing ∅ top ⊤ bot ⊥ angle ∠ triangle △
square □ to → rightarrow → leftarrow ← gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ iff ⟺
implies ⟹ mapsto ↦ longrightarrow ⟶ uparrow ↑ downarrow ↓ hookrightarrow ↪ Longrightarrow ⟹
dots … ldots … cdots ⋯ vdots ⋮ ddots ⋱ dotsc … dotsb ⋯ prime ′ dagger † colon : vert | Vert ‖ | ‖ lvert | rvert |
lVert ‖ rVert ‖ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ langle ⟨ rangle ⟩ { { } } lbrace { rbrace } lbrack [ rbrack ]
backslash \ % % # # & & $ $ _ _ checkmark ✓ degree ° therefore ∴ because ∵
""")
"""The sign of each command."""

FUNCTIONS = _words("""
arccos arcsin arctan arg cos cosh cot csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min Pr sec sin
sinh sup tan tanh
""")
"""Commands that are set as upright words."""

LARGE = _words("sum prod bigcup bigcap bigoplus bigotimes lim liminf limsup max min sup inf det gcd Pr")
"""Commands whose limits stand above and below in a formula of its own."""

ACCENTS = _pairs("hat ^ widehat ^ tilde ~ widetilde ~ bar ¯ overline ‾ vec → dot ˙ ddot ¨ check ˇ acute ´ grave `")

SPACES = {",": "0.17em", ":": "0.22em", ">": "0.22em", ";": "0.28em", "!": "-0.17em", " ": "0.33em"}
SPACES |= {"quad": "1em", "qquad": "2em", "enspace": "0.5em", "thinspace": "0.17em"}

_FIRST = {"bold": (0x1D400, 0x1D41A, 0x1D7CE), "double": (0x1D538, 0x1D552, 0x1D7D8), "script": (0x1D49C, 0x1D4B6, 0)}
_FIRST |= {"sans": (0x1D5A0, 0x1D5BA, 0x1D7E2), "typewriter": (0x1D670, 0x1D68A, 0x1D7F6)}
_ELSEWHERE = {  # letters that Unicode had before the others
    "double": dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True)),
    "script": dict(zip("BEFHILMRego", "ℬℰℱℋℐℒℳℛℯℊℴ", strict=True)),
}


def styled(text: str, style: str) -> str:
    """Letters and digits in a mathematical style: bold, double, script, sans or typewriter.

    Examples
    --------
    >>> styled("R", "double"), styled("x1", "")
    ('ℝ', 'x1')
    """
    return "".join(_letter(letter, style) for letter in text)


def _letter(letter: str, style: str) -> str:
    if style not in _FIRST or not (letter.isascii() and letter.isalnum()):
        return letter
    if letter in _ELSEWHERE.get(style, {}):
        return _ELSEWHERE[style][letter]
    upper, lower, digit = _FIRST[style]
    if letter.isdigit():
        return chr(digit + int(letter)) if digit else letter
    return chr(upper + ord(letter) - ord("A")) if letter.isupper() else chr(lower + ord(letter) - ord("a"))
