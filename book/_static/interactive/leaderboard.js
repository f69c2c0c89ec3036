// The leaderboard: entries of one rule set and task, sorted by any column, with the Pareto front of accuracy and score.
"use strict";

(() => {
  const { announcer, axes, choiceControl, drawing, element, fieldset, fixed, newId, register, responsive, whole } =
    factorkit;

  const COLUMNS = [
    {
      name: "place",
      value: (entry) => entry.place ?? Infinity,
      text: (entry) => (entry.place === null ? "–" : String(entry.place)),
    },
    { name: "student", value: (entry) => entry.student, text: (entry) => entry.student },
    {
      name: "accuracy",
      value: (entry) => entry.accuracy,
      text: (entry) => `${fixed(100 * entry.accuracy, 2)} %`,
      descending: true,
    },
    { name: "score", value: (entry) => entry.score, text: (entry) => fixed(entry.score, 4) },
    { name: "parameters", value: (entry) => entry.params, text: (entry) => whole(entry.params) },
    {
      name: "bits each",
      value: (entry) => entry.stored_bits / Math.max(entry.params, 1),
      text: (entry) => fixed(entry.stored_bits / Math.max(entry.params, 1), 1),
    },
    { name: "MACs", value: (entry) => entry.live_macs, text: (entry) => whole(entry.live_macs) },
  ];

  /** The entries that no other one beats in score and accuracy at once, by rising score. */
  const paretoFront = (entries) => {
    const front = [];
    for (const entry of [...entries].sort((a, b) => a.score - b.score || b.accuracy - a.accuracy)) {
      if (!front.length || entry.accuracy > front.at(-1).accuracy) front.push(entry);
    }
    return front;
  };
  /** Entries in the order of a column; equals keep the order they have. */
  const ordered = (entries, { value }, descending) => {
    const compare = (a, b) =>
      typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a === b ? 0 : a - b;
    return [...entries].sort((a, b) => (descending ? -1 : 1) * compare(value(a), value(b)));
  };

  // Each group holds the entries of one rule set, task and lab: { lab, rules, task, threshold, entries }.
  register("leaderboard", (root, { groups }) => {
    const different = (values) => [...new Set(values)].map((value) => [value, value]);
    const fitting = () => groups.filter((group) => group.rules === rules.value && group.task === task.value);
    const rules = choiceControl({
      label: "Rules",
      options: different(groups.map((g) => g.rules)),
      change: () => {
        offer();
        update();
      },
    });
    const task = choiceControl({
      label: "Task",
      options: different(groups.map((g) => g.task)),
      change: () => {
        offer();
        update();
      },
    });
    const lab = choiceControl({ label: "Lab", options: different(groups.map((g) => g.lab)), change: () => update() });
    const onlyValid = element("input", { type: "checkbox", id: newId("valid"), change: () => update() });
    const tick = element(
      "div",
      { class: "fk-tick" },
      onlyValid,
      element("label", { for: onlyValid.id }, "only valid entries"),
    );
    const tableBox = element("div", { class: "fk-scroll", tabindex: "0", role: "group", "aria-label": "Entries" });
    const count = element("p", { class: "fk-note", id: newId("count") });
    const chartBox = element("div", {});
    root.append(fieldset("Entries of", rules, task, lab, tick), count, tableBox, chartBox);
    const say = announcer(root);
    let column = COLUMNS[0],
      descending = false;

    function offer() {
      task.setOptions(different(groups.filter((g) => g.rules === rules.value).map((g) => g.task)), task.value);
      lab.setOptions(different(fitting().map((g) => g.lab)), lab.value);
      lab.node.hidden = fitting().length < 2;
    }
    const group = () => fitting().find((each) => each.lab === lab.value);
    const shown = () => group().entries.filter((entry) => entry.place !== null || !onlyValid.checked);

    const draw = (width) => {
      const entries = shown(),
        { threshold } = group();
      if (!entries.length) return element("p", {}, "No valid entry yet.");
      const front = paretoFront(entries);
      const range = (values) => {
        const [low, high] = [Math.min(...values), Math.max(...values)],
          room = (high - low) * 0.12 || Math.abs(high) * 0.12 || 1;
        return [low - room, high + room];
      };
      const x = range(entries.map((entry) => entry.score)),
        y = range([threshold, ...entries.map((entry) => 100 * entry.accuracy)]);
      const named = front
        .slice(0, 10)
        .map((entry) => `${entry.student} (${fixed(entry.score, 4)}, ${fixed(100 * entry.accuracy, 1)} %)`)
        .concat(front.length > 10 ? ["and others"] : [])
        .join(", ");
      const chart = axes({
        width,
        height: 320,
        x: [Math.max(x[0], 0), x[1]],
        y: [Math.max(y[0], 0), Math.min(y[1], 100)],
        xLabel: "score (lower is better)",
        yLabel: "accuracy (%)",
        label: `Accuracy against score of ${entries.length} entries. On the Pareto front: ${named}.`,
      });
      const at = (entry) => [chart.toX(entry.score), chart.toY(100 * entry.accuracy)];
      const stairs = front
        .map(at)
        .map(([cx, cy], n) => (n ? `H${cx}V${cy}` : `M${cx},${cy}`))
        .join("");
      const level = chart.toY(threshold);
      chart.svg.append(
        drawing("line", { class: "fk-limit", x1: chart.left, x2: chart.right, y1: level, y2: level }),
        drawing("text", { x: chart.left + 4, y: level - 4 }, `needed: ${threshold} %`),
        drawing("path", { class: "fk-front", d: stairs }),
      );
      for (const entry of entries) {
        const [cx, cy] = at(entry);
        const words = `${entry.student}: ${fixed(100 * entry.accuracy, 2)} %, score ${fixed(entry.score, 4)}`;
        chart.svg.append(
          drawing(
            "circle",
            { class: entry.place === null ? "fk-point fk-below" : "fk-point", cx, cy, r: 5 },
            drawing("title", {}, words),
          ),
        );
      }
      for (const entry of entries.length <= 12 ? entries : front.slice(0, 12)) {
        const [cx, cy] = at(entry),
          outside = cx > (chart.left + chart.right) / 2;
        const name = entry.student.length > 24 ? `${entry.student.slice(0, 23)}…` : entry.student;
        chart.svg.append(
          drawing("text", { x: cx + (outside ? -8 : 8), y: cy - 7, "text-anchor": outside ? "end" : "start" }, name),
        );
      }
      return chart.svg;
    };
    const redraw = responsive(chartBox, draw);

    function sortBy(chosen) {
      descending = chosen === column ? !descending : Boolean(chosen.descending);
      column = chosen;
      update();
      [...tableBox.querySelectorAll(".fk-sort")][COLUMNS.indexOf(chosen)].focus();
      say(`Sorted by ${column.name}, ${descending ? "largest" : "smallest"} first.`);
    }
    function update() {
      const front = new Set(paretoFront(shown()));
      const heads = COLUMNS.map((each) =>
        element(
          "th",
          { scope: "col", "aria-sort": each === column ? (descending ? "descending" : "ascending") : null },
          element("button", { type: "button", class: "fk-sort", click: () => sortBy(each) }, each.name),
          each === column ? (descending ? " ↓" : " ↑") : "",
        ),
      );
      const rows = ordered(shown(), column, descending).map((entry) =>
        element(
          "tr",
          { class: entry.place === null ? "fk-below" : null },
          COLUMNS.map((each) => element("td", {}, each.text(entry))),
          element("td", {}, front.has(entry) ? "yes" : ""),
        ),
      );
      count.textContent = `${rows.length} entries; a place needs ${group().threshold} %. A lower score is better.`;
      tableBox.replaceChildren(
        element(
          "table",
          { class: "fk-table fk-entries", "aria-labelledby": count.id },
          element("thead", {}, element("tr", {}, heads, element("th", { scope: "col" }, "on the front"))),
          element("tbody", {}, rows),
        ),
      );
      redraw();
      say(`${rows.length} entries under ${rules.value} on ${task.value}.`);
    }

    offer();
    update();
  });

  factorkit.leaderboard = { COLUMNS, ordered, paretoFront };
})();
