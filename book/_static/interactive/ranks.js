// The rank explorer: photographs and convolution kernels from the r largest singular values.
"use strict";

(() => {
  const {
    announcer,
    axes,
    button,
    choiceControl,
    compared,
    drawing,
    element,
    fieldset,
    fixed,
    numberControl,
    percent,
    register,
    responsive,
    table,
    unpack,
    whole,
  } = factorkit;

  /** Singular value decomposition of a rows x columns matrix (row-major) by one-sided Jacobi rotations.
   * Returns { values, left, right }, the values in descending order and one vector for each value. */
  const svd = (matrix, rows, columns) => {
    if (rows < columns) {
      const transposed = Float64Array.from(
        matrix,
        (_, place) => matrix[(place % rows) * columns + Math.floor(place / rows)],
      );
      const { values, left, right } = svd(transposed, columns, rows);
      return { values, left: right, right: left };
    }
    const vectors = (count, length, value) =>
      Array.from({ length: count }, (_, n) => Float64Array.from({ length }, (__, place) => value(n, place)));
    const work = vectors(columns, rows, (column, row) => matrix[row * columns + column]);
    const turned = vectors(columns, columns, (column, row) => Number(column === row));
    const dot = (a, b) => {
      let total = 0;
      for (let n = 0; n < a.length; n++) total += a[n] * b[n];
      return total;
    };
    const rotate = (a, b, cosine, sine) => {
      for (let n = 0; n < a.length; n++) {
        const kept = a[n];
        a[n] = cosine * kept - sine * b[n];
        b[n] = sine * kept + cosine * b[n];
      }
    };
    for (let sweep = 0, largest = 1; sweep < 60 && largest > 1e-14; sweep++) {
      largest = 0;
      for (let p = 0; p < columns - 1; p++) {
        for (let q = p + 1; q < columns; q++) {
          const [alpha, beta, gamma] = [dot(work[p], work[p]), dot(work[q], work[q]), dot(work[p], work[q])];
          const angle = Math.abs(gamma) / Math.sqrt(alpha * beta || 1);
          if (angle <= 1e-14) continue;
          largest = Math.max(largest, angle);
          const zeta = (beta - alpha) / (2 * gamma);
          const tangent = (Math.sign(zeta) || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
          const cosine = 1 / Math.sqrt(1 + tangent * tangent);
          rotate(work[p], work[q], cosine, cosine * tangent);
          rotate(turned[p], turned[q], cosine, cosine * tangent);
        }
      }
    }
    const norms = work.map((column) => Math.sqrt(dot(column, column)));
    const order = norms.map((_, place) => place).sort((a, b) => norms[b] - norms[a]);
    return {
      values: order.map((place) => norms[place]),
      left: order.map((place) => work[place].map((value) => (norms[place] ? value / norms[place] : 0))),
      right: order.map((place) => turned[place]),
    };
  };

  /** The rows x columns matrix of the first singular values. */
  const truncated = ({ values, left, right }, rank) => {
    const [rows, columns] = [left[0].length, right[0].length];
    const sum = new Float64Array(rows * columns);
    for (let r = 0; r < rank; r++) {
      for (let row = 0; row < rows; row++) {
        const factor = values[r] * left[r][row];
        for (let column = 0; column < columns; column++) sum[row * columns + column] += factor * right[r][column];
      }
    }
    return sum;
  };

  /** Relative error of each rank from 0 on: the root of the share of energy that is left out. */
  const relativeErrors = (values) => {
    const errors = new Array(values.length + 1).fill(0);
    for (let rank = values.length - 1, left = 0; rank >= 0; rank--)
      errors[rank] = Math.sqrt((left += values[rank] ** 2));
    return errors.map((error) => (errors[0] ? error / errors[0] : 0));
  };

  /** Smallest rank that keeps a fraction of the energy, as factorkit.decompositions.energy_rank. */
  const energyRank = (values, fraction) => {
    const total = values.reduce((sum, value) => sum + value ** 2, 0);
    const needed = Math.min(fraction, 1 - values.length * Number.EPSILON) * total;
    let kept = 0;
    for (let rank = 1; rank <= values.length; rank++) if ((kept += values[rank - 1] ** 2) >= needed) return rank;
    return values.length;
  };

  /** The matrix that is decomposed: an image itself, or a kernel O x I x k x k in one of two arrangements. */
  const arranged = ({ shape, arrangement }, numbers) => {
    if (arrangement === "image")
      return { rows: shape[0], columns: shape[1], matrix: numbers, toPixel: (row, column) => [row, column] };
    const [outputs, inputs, size] = shape;
    // Drawn with a row of kernels for each input map and a column of kernels for each output map.
    const pixel = (o, i, y, x) => [i * size + y, o * size + x];
    if (arrangement === "output") {
      const split = (column) => [
        Math.floor(column / size ** 2),
        Math.floor((column % size ** 2) / size),
        column % size,
      ];
      return {
        rows: outputs,
        columns: inputs * size ** 2,
        matrix: numbers,
        toPixel: (o, column) => pixel(o, ...split(column)),
      };
    }
    const [rows, columns] = [inputs * size, outputs * size];
    const matrix = new Float64Array(rows * columns);
    const place = (row, column) => [Math.floor(column / size), Math.floor(row / size), row % size, column % size];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [o, i, y, x] = place(row, column);
        matrix[row * columns + column] = numbers[((o * inputs + i) * size + y) * size + x];
      }
    }
    return { rows, columns, matrix, toPixel: (row, column) => pixel(...place(row, column)) };
  };

  /** Paint a matrix: gray from 0 to 255, or blue for negative and red for positive weights. */
  const paint = (canvas, { rows, columns, toPixel }, matrix, { limit, signed }) => {
    const [height, width] = toPixel(rows - 1, columns - 1).map((last) => last + 1);
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = matrix[row * columns + column];
        const strength = Math.min(Math.abs(value) / limit, 1);
        const gray = Math.min(Math.max(value, 0), 255);
        const pale = 255 * (1 - strength);
        const color = !signed
          ? [gray, gray, gray]
          : value > 0
            ? [255 - 60 * strength, pale, pale]
            : [pale, pale, 255 - 60 * strength];
        const [y, x] = toPixel(row, column);
        image.data.set([...color, 255], 4 * (y * width + x));
      }
    }
    context.putImageData(image, 0, 0);
  };

  register("ranks", (root, { subjects }) => {
    const found = new Map();
    const subjectChoice = choiceControl({
      label: "Matrix",
      options: subjects.map(({ title }, place) => [String(place), title]),
      value: "0",
      change: () => {
        choose();
        update();
      },
    });
    const rank = numberControl({ label: "Rank", value: 10, min: 1, max: 96, change: () => update() });
    const jump = (share) =>
      button(`${100 * share} % of the energy`, () => {
        rank.set(energyRank(current().svd.values, share));
        update();
      });
    const even = button("break-even rank", () => {
      rank.set(breakEven());
      update();
    });
    const picture = (caption) => {
      const canvas = element("canvas", { role: "img" });
      return { canvas, node: element("figure", {}, canvas, element("figcaption", {}, caption)) };
    };
    const pictures = [picture("original"), picture("from the largest singular values"), picture("what is missing")];
    const numbers = element("div", { class: "fk-result" });
    const chartBox = element("div", {});
    root.append(
      fieldset(
        "What is decomposed",
        subjectChoice,
        rank,
        element("div", { class: "fk-buttons" }, jump(0.9), jump(0.99), even),
      ),
      element(
        "div",
        { class: "fk-pictures" },
        pictures.map(({ node }) => node),
      ),
      numbers,
      chartBox,
    );
    const say = announcer(root);

    const current = () => {
      const place = Number(subjectChoice.value);
      if (!found.has(place)) {
        const view = arranged(subjects[place], unpack(subjects[place].values));
        found.set(place, { ...view, ...subjects[place], svd: svd(view.matrix, view.rows, view.columns) });
      }
      return found.get(place);
    };
    const breakEven = () => {
      const { rows, columns } = current();
      return Math.max(Math.ceil((rows * columns) / (rows + columns)) - 1, 1);
    };
    function choose() {
      const { rows, columns, hint } = current();
      rank.setLimits(1, Math.min(rows, columns));
      subjectChoice.say(hint);
    }

    const drawChart = (width) => {
      const {
        svd: { values },
        rows,
        columns,
      } = current();
      const errors = relativeErrors(values).map((error) => 100 * error);
      const full = values.length;
      const label = `Relative error against the rank: ${[0.1, 0.25, 0.5]
        .map((share) => Math.max(Math.round(share * full), 1))
        .map((r) => `${errors[r].toFixed(1)} % at rank ${r}`)
        .join(", ")}.`;
      const chart = axes({
        width,
        height: 260,
        x: [0, full],
        y: [0, 100],
        xLabel: "rank",
        yLabel: "relative error (%)",
        label,
      });
      const upright = (at, kind) =>
        drawing("line", { class: kind, x1: chart.toX(at), x2: chart.toX(at), y1: chart.top, y2: chart.bottom });
      const limit = (rows * columns) / (rows + columns);
      chart.svg.append(
        drawing("polyline", {
          class: "fk-line",
          points: errors.map((error, r) => `${chart.toX(r)},${chart.toY(error)}`).join(" "),
        }),
        upright(rank.value, "fk-mark"),
        upright(limit, "fk-limit"),
        drawing("text", { x: chart.toX(limit) - 4, y: chart.top + 12, "text-anchor": "end" }, "break-even"),
      );
      return chart.svg;
    };
    const redraw = responsive(chartBox, drawChart);

    function update() {
      const view = current(),
        { rows, columns, matrix, signed, title } = view;
      const near = truncated(view.svd, rank.value);
      const missing = matrix.map((value, place) => value - near[place]);
      // Full color at 2.5 root mean squares: the few largest weights would leave all others pale.
      const strong = 2.5 * Math.sqrt(matrix.reduce((sum, value) => sum + value ** 2, 0) / matrix.length);
      paint(pictures[0].canvas, view, matrix, { limit: strong, signed });
      paint(pictures[1].canvas, view, near, { limit: strong, signed });
      paint(pictures[2].canvas, view, missing, { limit: signed ? strong : 128, signed: true });
      const error = relativeErrors(view.svd.values)[rank.value];
      const stored = rank.value * (rows + columns),
        dense = rows * columns;
      const change = `${compared(stored, dense)} numbers`;
      const words = `${title} at rank ${rank.value}: relative error ${percent(error)}, ${change}`;
      pictures.forEach(({ canvas }, place) =>
        canvas.setAttribute(
          "aria-label",
          [
            `${title}, ${rows} x ${columns} numbers`,
            words,
            "The difference of both, negative in blue, positive in red",
          ][place],
        ),
      );
      const cell = (name, text) => element("span", { "data-result": name }, text);
      numbers.replaceChildren(
        table(
          `A ${rows} × ${columns} matrix`,
          ["what", "the matrix", `rank ${rank.value}`],
          [
            ["numbers stored", whole(dense), cell("stored", whole(stored))],
            ["compared", "", cell("compared", compared(stored, dense))],
            ["relative error", "0", cell("error", percent(error))],
            ["energy kept", "100 %", cell("energy", `${fixed(100 * (1 - error ** 2), 2)} %`)],
          ],
        ),
      );
      redraw();
      say(`${words}.`);
    }

    choose();
    update();
  });

  factorkit.ranks = { arranged, energyRank, relativeErrors, svd, truncated };
})();
