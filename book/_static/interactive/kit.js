// What the interactive parts share: elements, controls, numbers, announcements and drawings.
// These are classic scripts in closures, not modules: browsers load no module from a folder on disk.
"use strict";

globalThis.factorkit ??= (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const makers = new Map();
  let ids = 0;

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null));
    return node;
  };
  /** An HTML element; attributes that are functions listen to the event of that name. */
  const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  /** An element of an SVG drawing. */
  const drawing = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);
  const newId = (name) => `fk-${name}-${++ids}`;

  // ---- Numbers as Python's format() writes them --------------------
  const whole = (number) => Math.round(number).toLocaleString("en-US");
  const fixed = (number, digits) =>
    number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const short = (number, digits = 3) =>
    Number(number.toPrecision(digits)).toLocaleString("en-US", { maximumSignificantDigits: digits });
  const percent = (share) => `${short(100 * share)} %`;
  /** "8.4 times fewer", "1.2 times more" or "as many". */
  const compared = (number, reference, fewer = "fewer", more = "more", same = "as many") => {
    if (number === reference) return same;
    return number < reference
      ? `${short(reference / number)} times ${fewer}`
      : `${short(number / reference)} times ${more}`;
  };

  // ---- Data of a page --------------------
  /** Numbers that factorkit.interactive.packed() has written. */
  const unpack = ({ base64, type }) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    if (type === "uint8") return Float64Array.from(bytes);
    const view = new DataView(bytes.buffer);
    return Float64Array.from({ length: bytes.length / 4 }, (_, place) => view.getFloat32(4 * place, true));
  };

  // ---- Controls --------------------
  /** A slider and a number field with one label, which always agree; without the slider where numbers are large. */
  const numberControl = ({ label, value, min, max, step = 1, hint = "", slides = true, change }) => {
    const id = newId("number");
    const digits = (String(step).split(".")[1] ?? "").length;
    const kind = digits ? "a number" : "a whole number";
    const limits = { min, max };
    const slider = element("input", { type: "range", min, max, step, "aria-label": `${label}, slider` });
    const field = element("input", {
      type: "number",
      id,
      min,
      max,
      step,
      inputmode: digits ? "decimal" : "numeric",
      "aria-describedby": `${id}-note`,
    });
    const note = element("p", { class: "fk-note", id: `${id}-note` });
    const rounded = (number) => Number((Math.round(number / step) * step).toFixed(digits));
    const allowed = (number) => Math.min(Math.max(rounded(number), limits.min), limits.max);
    const say = (problem) => {
      note.textContent = problem || hint;
      note.classList.toggle("fk-problem", Boolean(problem));
      field.setAttribute("aria-invalid", String(Boolean(problem)));
    };
    const control = {
      node: element(
        "div",
        { class: `fk-control${slides ? "" : " fk-wide"}` },
        element("label", { for: id }, label),
        slides ? slider : null,
        field,
        note,
      ),
      value: allowed(value),
      set(number) {
        control.value = allowed(number);
        slider.value = field.value = control.value.toFixed(digits);
        say("");
      },
      setLimits(low, high) {
        Object.assign(limits, { min: low, max: high });
        for (const input of [slider, field]) Object.assign(input, { min: low, max: high });
        control.set(control.value);
      },
    };
    slider.addEventListener("input", () => {
      control.set(Number(slider.value));
      change();
    });
    field.addEventListener("input", () => {
      const number = Number(field.value);
      if (field.value === "" || number !== rounded(number) || number !== allowed(number)) {
        say(`Give ${kind} from ${limits.min} to ${limits.max}.`);
        return;
      }
      control.value = number;
      slider.value = number;
      say("");
      change();
    });
    field.addEventListener("change", () => {
      control.set(field.value === "" ? control.value : Number(field.value));
      change();
    });
    control.set(control.value);
    return control;
  };

  /** A choice between named values. */
  const choiceControl = ({ label, options, value, hint = "", change }) => {
    const id = newId("choice");
    const select = element("select", { id, change: () => change() });
    const note = element("p", { class: "fk-note" }, hint);
    const control = {
      node: element("div", { class: "fk-control fk-choice" }, element("label", { for: id }, label), select, note),
      get value() {
        return select.value;
      },
      set(chosen) {
        select.value = chosen;
      },
      setOptions(pairs, chosen) {
        select.replaceChildren(...pairs.map(([key, text]) => element("option", { value: key }, text)));
        const keys = pairs.map(([key]) => String(key));
        select.value = keys.includes(String(chosen)) ? chosen : keys[0];
      },
      say(text) {
        note.textContent = text;
      },
    };
    control.setOptions(options, value);
    return control;
  };

  const button = (label, press) => element("button", { type: "button", class: "fk-button", click: press }, label);
  const fieldset = (legend, ...controls) =>
    element("fieldset", {}, element("legend", {}, legend), ...controls.map((control) => control.node ?? control));

  /** A function that tells screen readers about results, once the reader has stopped moving a slider. */
  const announcer = (root) => {
    const region = element("p", { role: "status", "aria-live": "polite", class: "fk-unseen" });
    root.append(region);
    let timer = 0;
    return (text) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        region.textContent = text;
      }, 500);
    };
  };

  // ---- Tables and drawings --------------------
  /** A table; each row is a list of texts or nodes, the first of which heads the row. */
  const table = (caption, heads, rows) =>
    element(
      "table",
      { class: "fk-table" },
      element("caption", {}, caption),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          heads.map((head) => element("th", { scope: "col" }, head)),
        ),
      ),
      element(
        "tbody",
        {},
        rows.map(([first, ...others]) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, first),
            others.map((cell) => element("td", {}, cell)),
          ),
        ),
      ),
    );

  /** A bar as a drawing, from shares of the width; the number stands beside it, so nothing needs to be read aloud. */
  const bar = (...shares) => {
    let from = 0;
    const pieces = shares.map((share, place) => {
      const piece = drawing("rect", {
        x: 100 * from,
        width: 100 * Math.max(share, 0),
        height: 8,
        class: `fk-fill-${place}`,
      });
      from += Math.max(share, 0);
      return piece;
    });
    return drawing(
      "svg",
      { class: "fk-bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      pieces,
    );
  };

  /** Round numbers between two limits, about as many as asked for. */
  const ticks = (low, high, count = 5) => {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9));
    const found = [];
    for (let place = Math.ceil(low / step - 1e-9); place * step <= high + 1e-9 * step; place++)
      found.push(Number((place * step).toPrecision(12)));
    return found;
  };

  /** Axes of a diagram that is `width` pixels wide: the drawing and the way from values to pixels. */
  const axes = ({ width, height, x, y, xLabel, yLabel, label }) => {
    const left = 56,
      right = 12,
      top = 12,
      bottom = 44;
    const toX = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (width - left - right);
    const toY = (value) => height - bottom - ((value - y[0]) / (y[1] - y[0])) * (height - top - bottom);
    const text = (content, attributes) => drawing("text", attributes, content);
    const svg = drawing("svg", {
      class: "fk-chart",
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": label,
    });
    for (const value of ticks(...x, Math.max(Math.floor(width / 90), 2))) {
      svg.append(drawing("line", { class: "fk-grid", x1: toX(value), x2: toX(value), y1: top, y2: height - bottom }));
      svg.append(text(short(value, 4), { x: toX(value), y: height - bottom + 16, "text-anchor": "middle" }));
    }
    for (const value of ticks(...y, 4)) {
      svg.append(drawing("line", { class: "fk-grid", x1: left, x2: width - right, y1: toY(value), y2: toY(value) }));
      svg.append(text(short(value, 4), { x: left - 6, y: toY(value) + 4, "text-anchor": "end" }));
    }
    svg.append(text(xLabel, { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }));
    svg.append(
      text(yLabel, { x: -(top + height - bottom) / 2, y: 13, transform: "rotate(-90)", "text-anchor": "middle" }),
    );
    return { svg, toX, toY, left, right: width - right, top, bottom: height - bottom };
  };

  /** Draw into a box now and whenever its width changes; returns the function that draws again. */
  const responsive = (box, draw) => {
    let last = 0;
    const again = () => {
      last = box.clientWidth;
      if (last) box.replaceChildren(draw(Math.max(last, 240)));
    };
    new ResizeObserver(() => {
      if (Math.abs(box.clientWidth - last) > 1) again();
    }).observe(box);
    return again;
  };

  const wantsStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // ---- Filling the frames --------------------
  const mount = (frame) => {
    const make = makers.get(frame.dataset.interactive);
    if (!make || frame.dataset.ready) return;
    const body = element("div", { class: "fk-body" });
    frame.append(body);
    try {
      make(body, JSON.parse(frame.querySelector('script[type="application/json"]').textContent));
      frame.querySelector(".fk-fallback").hidden = true;
      frame.dataset.ready = "true";
    } catch (error) {
      body.remove(); // what Python has computed stays
      console.error(error);
    }
  };
  const register = (name, make) => {
    makers.set(name, make);
    const all = () => document.querySelectorAll(`[data-interactive="${name}"]`).forEach(mount);
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all);
    else all();
  };

  return {
    announcer,
    axes,
    bar,
    button,
    choiceControl,
    compared,
    drawing,
    element,
    fieldset,
    fixed,
    newId,
    numberControl,
    percent,
    register,
    responsive,
    short,
    table,
    unpack,
    wantsStillness,
    whole,
  };
})();
