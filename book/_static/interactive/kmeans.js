// The weight-sharing explorer: K values for the weights of a layer, by Lloyd's steps and by the exact optimum.
// It computes what factorkit.clustering computes: settle(), kmeans_1d() and the storage of share_weights().
"use strict";

(() => {
  const {
    announcer,
    axes,
    button,
    choiceControl,
    drawing,
    element,
    fieldset,
    fixed,
    numberControl,
    percent,
    register,
    responsive,
    short,
    table,
    unpack,
    wantsStillness,
    whole,
  } = factorkit;

  /** Weights in ascending order, with cumulative sums of what is left without their mean. */
  const prepared = (weights) => {
    const sorted = Float64Array.from(weights).sort();
    const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
    const sums = new Float64Array(sorted.length + 1),
      squares = new Float64Array(sorted.length + 1);
    sorted.forEach((value, n) => {
      sums[n + 1] = sums[n] + (value - mean);
      squares[n + 1] = squares[n] + (value - mean) ** 2;
    });
    const power = sorted.reduce((sum, value) => sum + value * value, 0) / sorted.length;
    return { sorted, mean, sums, squares, power };
  };

  /** Mean of the weights from one place up to another in their order. */
  const meanOf = ({ sums, mean }, start, end) => (sums[end] - sums[start]) / (end - start) + mean;
  /** Sum of the squared distances to that mean. */
  const spread = ({ sums, squares }, start, end) =>
    Math.max(squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / (end - start), 0);

  /** Where the weights nearest to each centroid begin, and where the last ones end. */
  const borders = ({ sorted }, centroids) => {
    const firstNotBelow = (limit) => {
      let [low, high] = [0, sorted.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (sorted[middle] < limit) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    return [
      0,
      ...centroids.slice(1).map((centroid, n) => firstNotBelow((centroid + centroids[n]) / 2)),
      sorted.length,
    ];
  };

  /** One round of Lloyd's algorithm: each centroid moves to the mean of its weights; one without weights stays. */
  const lloydStep = (weights, centroids) => {
    const ends = borders(weights, centroids);
    return centroids.map((centroid, n) => (ends[n + 1] > ends[n] ? meanOf(weights, ends[n], ends[n + 1]) : centroid));
  };

  /** Mean squared distance of the weights to the nearest centroid. */
  const meanSquaredError = (weights, centroids) => {
    const ends = borders(weights, centroids);
    let total = 0;
    centroids.forEach((centroid, n) => {
      for (let place = ends[n]; place < ends[n + 1]; place++) total += (weights.sorted[place] - centroid) ** 2;
    });
    return total / weights.sorted.length;
  };

  /** The k centroids with the least error, by dynamic programming. The best start of the last part never moves back
   * when the part's end moves on, so halving the ends again and again leaves few starts to try. */
  const optimum = (weights, k) => {
    const size = weights.sorted.length;
    let least = Float64Array.from({ length: size + 1 }, (_, end) => (end ? spread(weights, 0, end) : 0));
    const starts = [new Int32Array(size + 1)];
    for (let part = 1; part < k; part++) {
      const next = new Float64Array(size + 1).fill(Infinity),
        chosen = new Int32Array(size + 1);
      const fill = (low, high, first, last) => {
        if (low > high) return;
        const end = (low + high) >> 1;
        for (let start = Math.max(first, part); start <= Math.min(last, end - 1); start++) {
          const cost = least[start] + spread(weights, start, end);
          if (cost < next[end]) [next[end], chosen[end]] = [cost, start];
        }
        fill(low, end - 1, first, chosen[end]);
        fill(end + 1, high, chosen[end], last);
      };
      fill(part + 1, size, part, size - 1);
      starts.push(chosen);
      least = next;
    }
    const centroids = new Array(k);
    for (let part = k - 1, end = size; part >= 0; part--) {
      const start = part ? starts[part][end] : 0;
      centroids[part] = meanOf(weights, start, end);
      end = start;
    }
    return centroids;
  };

  /** Quantile by linear interpolation, as NumPy's. */
  const quantile = (sorted, share) => {
    const place = share * (sorted.length - 1),
      below = Math.floor(place);
    return sorted[below] + (place - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
  };
  const STARTS = {
    linear: ({ sorted }, k) => {
      const [low, high] = [sorted[0], sorted.at(-1)];
      return Array.from({ length: k }, (_, n) => (k > 1 ? low + ((high - low) * n) / (k - 1) : low));
    },
    density: ({ sorted }, k) => Array.from({ length: k }, (_, n) => quantile(sorted, (n + 0.5) / k)),
    random: ({ sorted }, k, random) => {
      const drawn = new Set();
      while (drawn.size < k) drawn.add(Math.floor(random() * sorted.length));
      return [...drawn].sort((a, b) => a - b).map((place) => sorted[place]);
    },
  };

  /** Bits of the indices and of a table of 32-bit values. */
  const storedBits = (count, k) => count * Math.max(Math.ceil(Math.log2(k)), 1) + 32 * k;

  register("kmeans", (root, { layers }) => {
    const restart = () => {
      reset();
      update();
    };
    const layerChoice = choiceControl({
      label: "Layer",
      options: layers.map(({ name }, n) => [String(n), name]),
      value: "0",
      change: restart,
    });
    const values = numberControl({ label: "Shared values K", value: 8, min: 1, max: 64, change: restart });
    const startChoice = choiceControl({
      label: "Start of Lloyd's algorithm",
      value: "linear",
      change: restart,
      options: [
        ["linear", "linear: at equal distances"],
        ["density", "density: equally many weights between"],
        ["random", "random: some of the weights"],
      ],
    });
    const stepButton = button("One step", () => {
      stop();
      step();
      update();
    });
    const runButton = button("Run", () => {
      if (timer) stop();
      else if (!settled) run();
    });
    const result = element("div", { class: "fk-result" });
    const chartBox = element("div", {});
    root.append(
      fieldset(
        "What is shared",
        layerChoice,
        values,
        startChoice,
        element("div", { class: "fk-buttons" }, stepButton, runButton, button("Start again", restart)),
      ),
      chartBox,
      result,
    );
    const say = announcer(root);
    const known = layers.map(() => null);
    let timer = 0,
      weights,
      best,
      centroids,
      rounds,
      settled;

    function reset() {
      stop();
      const place = Number(layerChoice.value);
      weights = known[place] ??= prepared(unpack(layers[place].values));
      best = optimum(weights, values.value);
      centroids = STARTS[startChoice.value](weights, values.value, Math.random);
      [rounds, settled] = [0, false];
    }
    function step() {
      const next = lloydStep(weights, centroids);
      settled = next.every((centroid, n) => centroid === centroids[n]);
      if (!settled) [centroids, rounds] = [next, rounds + 1];
      if (settled) stop();
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      runButton.textContent = "Run";
    }
    function run() {
      if (wantsStillness()) {
        // no animation: only where it ends
        while (!settled) step();
        update();
        return;
      }
      runButton.textContent = "Pause";
      timer = setInterval(() => {
        step();
        update();
      }, 350);
    }

    const draw = (width) => {
      const { sorted } = weights,
        bins = Math.min(60, Math.max(Math.floor(width / 12), 20));
      const [low, high] = [sorted[0], sorted.at(-1)],
        counts = new Array(bins).fill(0);
      for (const value of sorted) counts[Math.min(Math.floor(((value - low) / (high - low)) * bins), bins - 1)]++;
      const label =
        `Histogram of ${whole(sorted.length)} weights from ${short(low)} to ${short(high)}, ` +
        `with ${centroids.length} centroids of Lloyd's algorithm above and those of the optimum below: ` +
        `${best.map((value) => short(value)).join(", ")}.`;
      const chart = axes({
        width,
        height: 300,
        x: [low, high],
        y: [0, Math.max(...counts) * 1.05],
        xLabel: "weight",
        yLabel: "weights",
        label,
      });
      counts.forEach((count, n) => {
        const [from, to] = [0, 1].map((next) => chart.toX(low + ((high - low) * (n + next)) / bins));
        chart.svg.append(
          drawing("rect", {
            class: "fk-histogram",
            x: from,
            width: Math.max(to - from - 1, 1),
            y: chart.toY(count),
            height: chart.bottom - chart.toY(count),
          }),
        );
      });
      const middle = (chart.top + chart.bottom) / 2;
      for (const value of centroids)
        chart.svg.append(
          drawing("line", {
            class: "fk-centroid",
            x1: chart.toX(value),
            x2: chart.toX(value),
            y1: chart.top,
            y2: middle - 3,
          }),
        );
      for (const value of best)
        chart.svg.append(
          drawing("line", {
            class: "fk-optimum",
            x1: chart.toX(value),
            x2: chart.toX(value),
            y1: middle + 3,
            y2: chart.bottom,
          }),
        );
      return chart.svg;
    };
    const redraw = responsive(chartBox, draw);

    function update() {
      const count = weights.sorted.length,
        k = values.value,
        bits = storedBits(count, k);
      const errors = [centroids, best].map((each) => meanSquaredError(weights, each));
      const relative = errors.map((error) => percent(Math.sqrt(error / weights.power)));
      const swatch = (color) => element("span", { class: "fk-swatch", style: `background: var(--fk-${color})` });
      const row = (name, color, text, place) => [
        element("span", {}, swatch(color), text),
        element("span", { "data-result": `${name}-error` }, relative[place]),
        element("span", { "data-result": `${name}-excess` }, fixed(errors[1] ? errors[place] / errors[1] : 1, 3)),
      ];
      const state = `Lloyd, ${settled ? "settled after " : ""}${rounds} round${rounds === 1 ? "" : "s"}`;
      result.replaceChildren(
        table(
          `${whole(count)} weights, ${k} values`,
          ["values", "relative error", "squared error, times the least"],
          [
            row("lloyd", "a", element("span", { "data-result": "state" }, state), 0),
            row("optimum", "b", "exact optimum", 1),
          ],
        ),
        element(
          "p",
          {},
          "Storage: ",
          element("strong", { "data-result": "bits" }, whole(bits)),
          ` bits, ${short(bits / count)} a weight, ${short((32 * count) / bits)} times less than 32-bit numbers.`,
        ),
      );
      for (const each of [stepButton, runButton]) each.setAttribute("aria-disabled", String(settled));
      redraw();
      if (!timer) say(`${state}: relative error ${relative[0]}; the optimum has ${relative[1]}.`);
    }

    restart();
  });

  factorkit.kmeans = { STARTS, lloydStep, meanSquaredError, optimum, prepared, storedBits };
})();
