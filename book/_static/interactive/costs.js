// The cost calculator: a convolution and its factorized forms side by side.
// The formulas are those of factorkit.costs and of .params and .macs in factorkit.decompositions, without biases.
"use strict";

(() => {
  const {
    announcer,
    bar,
    choiceControl,
    compared,
    element,
    fieldset,
    numberControl,
    percent,
    register,
    table,
    whole,
  } = factorkit;
  const FORMS = ["dense", "spatially separable", "depthwise separable", "grouped", "CP", "Tucker-2", "Tai"];

  // A layer is { inChannels, outChannels, kernel, inputSize, stride }; zeros around it keep the map's size at stride 1.
  const outputSize = ({ inputSize, kernel, stride }) =>
    Math.floor((inputSize + 2 * Math.floor(kernel / 2) - kernel) / stride) + 1;
  const sum = (...costs) => ({
    params: costs.reduce((total, cost) => total + cost.params, 0),
    macs: costs.reduce((total, cost) => total + cost.macs, 0),
  });

  const grouped = (layer, groups) => {
    const weights = layer.kernel ** 2 * (layer.inChannels / groups) * layer.outChannels;
    return { params: weights, macs: weights * outputSize(layer) ** 2 };
  };
  const dense = (layer) => grouped(layer, 1);
  const spatiallySeparable = (layer) => {
    const { inChannels, outChannels, kernel, inputSize } = layer;
    const [vertical, horizontal] = [kernel * inChannels * outChannels, kernel * outChannels * outChannels];
    const after = outputSize(layer);
    return { params: vertical + horizontal, macs: vertical * after * inputSize + horizontal * after * after };
  };
  const depthwiseSeparable = (layer) =>
    sum(
      grouped({ ...layer, outChannels: layer.inChannels }, layer.inChannels),
      grouped({ ...layer, kernel: 1, inputSize: outputSize(layer), stride: 1 }, 1),
    );

  // The steps of a decomposition, each [weights, height, width of its kernel]. A step carries out the stride along an
  // axis if it is the first whose kernel has the full size there.
  const chain = (layer, steps) => {
    const after = outputSize(layer);
    const done = [false, false];
    return sum(
      ...steps.map(([weights, ...sizes]) => {
        sizes.forEach((size, axis) => {
          done[axis] ||= size === layer.kernel;
        });
        const pixels = done.map((strided) => (strided ? after : layer.inputSize));
        return { params: weights, macs: weights * pixels[0] * pixels[1] };
      }),
    );
  };
  const cp = (layer, rank) => {
    const { inChannels, outChannels, kernel } = layer;
    return chain(layer, [
      [rank * inChannels, 1, 1],
      [rank * kernel, kernel, 1],
      [rank * kernel, 1, kernel],
      [outChannels * rank, 1, 1],
    ]);
  };
  const tucker2 = (layer, outRank, inRank) => {
    const { inChannels, outChannels, kernel } = layer;
    return chain(layer, [
      [inRank * inChannels, 1, 1],
      [outRank * inRank * kernel ** 2, kernel, kernel],
      [outChannels * outRank, 1, 1],
    ]);
  };
  const tai = (layer, rank) => {
    const { inChannels, outChannels, kernel } = layer;
    return chain(layer, [
      [rank * inChannels * kernel, kernel, 1],
      [outChannels * rank * kernel, 1, kernel],
    ]);
  };

  /** The cost of each form, in the order of FORMS. */
  const allCosts = (layer, { groups, cpRank, outRank, inRank, taiRank }) => [
    dense(layer),
    spatiallySeparable(layer),
    depthwiseSeparable(layer),
    grouped(layer, groups),
    cp(layer, cpRank),
    tucker2(layer, outRank, inRank),
    tai(layer, taiRank),
  ];

  /** Numbers of groups that divide both channel counts. */
  const commonDivisors = (a, b) =>
    Array.from({ length: Math.min(a, b) }, (_, n) => n + 1).filter((n) => a % n === 0 && b % n === 0);
  /** The largest rank with fewer parameters than the dense layer, where each rank costs as many. */
  const lastUsefulRank = (layer, each) => Math.ceil(dense(layer).params / each) - 1;

  register("costs", (root, { presets }) => {
    const change = () => update();
    const names = presets.map((preset, place) => [String(place), preset.name]);
    const OWN = ["own", "your own"];
    const preset = choiceControl({
      label: "Layer",
      options: [...names, OWN],
      value: "0",
      change: () => {
        load(presets[Number(preset.value)]);
        update();
      },
    });
    const edited = () => {
      preset.set("own");
      update();
    };
    const number = (label, min, max, extra = {}) =>
      numberControl({ label, min, max, value: min, change: edited, ...extra });
    const controls = {
      inChannels: number("Input channels", 1, 1024),
      outChannels: number("Output channels", 1, 1024),
      kernel: number("Kernel height and width", 1, 11),
      inputSize: number("Input height and width", 1, 256),
      stride: number("Stride", 1, 4),
    };
    const ranks = {
      taiRank: number("Rank of Tai's form", 1, 1024, { change }),
      cpRank: number("Rank of CP", 1, 1024, { change }),
      outRank: number("Output rank of Tucker-2", 1, 1024, { change }),
      inRank: number("Input rank of Tucker-2", 1, 1024, { change }),
    };
    let wanted = 4; // groups that the reader asked for last; the nearest possible number below is used
    const groups = choiceControl({
      label: "Groups",
      options: [["1", "1"]],
      value: "1",
      change: () => {
        wanted = Number(groups.value);
        update();
      },
    });
    const result = element("div", { class: "fk-result" });
    root.append(
      element(
        "div",
        { class: "fk-columns" },
        fieldset("The convolution", preset, ...Object.values(controls)),
        fieldset("Its factorized forms", groups, ...Object.values(ranks)),
      ),
      result,
    );
    const say = announcer(root);

    function load(layer) {
      if (!layer) return;
      for (const [name, control] of Object.entries(controls)) control.set(layer[name]);
      const quarter = (channels) => Math.max(Math.round(channels / 4), 1);
      limitRanks();
      ranks.taiRank.set(quarter(layer.outChannels));
      ranks.cpRank.set(layer.outChannels);
      ranks.outRank.set(quarter(layer.outChannels));
      ranks.inRank.set(quarter(layer.inChannels));
    }
    const layerNow = () =>
      Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]));
    function limitRanks() {
      const { inChannels, outChannels, kernel } = layerNow();
      ranks.taiRank.setLimits(1, Math.min(inChannels, outChannels) * kernel);
      ranks.outRank.setLimits(1, outChannels);
      ranks.inRank.setLimits(1, inChannels);
    }

    function update() {
      limitRanks();
      const layer = layerNow();
      const possible = commonDivisors(layer.inChannels, layer.outChannels);
      const nearest = possible.filter((count) => count <= wanted).at(-1);
      groups.setOptions(
        possible.map((count) => [String(count), String(count)]),
        String(nearest),
      );
      const settings = Object.fromEntries(Object.entries(ranks).map(([name, control]) => [name, control.value]));
      const costs = allCosts(layer, { ...settings, groups: nearest });
      const { inChannels, outChannels, kernel } = layer;
      const sizes = `${kernel} × ${kernel}`;
      const limit = (each) => `smaller than dense up to rank ${whole(lastUsefulRank(layer, each))}`;
      const notes = [
        sizes,
        `${kernel} × 1, then 1 × ${kernel}`,
        `${sizes} on each map, then 1 × 1`,
        `${sizes}, ${nearest} group${nearest > 1 ? "s" : ""}`,
        `1 × 1, ${kernel} × 1, 1 × ${kernel}, 1 × 1; ${limit(inChannels + outChannels + 2 * kernel)}`,
        `1 × 1 to ${settings.inRank}, ${sizes} to ${settings.outRank}, 1 × 1`,
        `${kernel} × 1 to ${settings.taiRank}, then 1 × ${kernel}; ${limit(kernel * (inChannels + outChannels))}`,
      ];
      const most = { params: Math.max(...costs.map((c) => c.params)), macs: Math.max(...costs.map((c) => c.macs)) };
      const cell = (cost, kind) =>
        element(
          "div",
          {},
          element("span", { class: "fk-number", "data-kind": kind }, whole(cost[kind])),
          element("span", { class: "fk-share" }, percent(cost[kind] / costs[0][kind])),
          bar(cost[kind] / most[kind]),
        );
      const after = outputSize(layer);
      result.replaceChildren(
        table(
          `The output has ${outChannels} maps of ${after} × ${after}. Percentages are of the dense form.`,
          ["form", "parameters", "MACs for one image"],
          costs.map((cost, place) => [
            element(
              "div",
              {},
              element("span", { class: "fk-name" }, FORMS[place]),
              element("span", { class: "fk-small" }, notes[place]),
            ),
            cell(cost, "params"),
            cell(cost, "macs"),
          ]),
        ),
      );
      const cheapest = costs.reduce((best, cost, place) => (cost.macs < costs[best].macs ? place : best), 0);
      say(
        `Dense: ${whole(costs[0].params)} parameters, ${whole(costs[0].macs)} MACs. Fewest MACs: ${FORMS[cheapest]}, ` +
          `${compared(costs[cheapest].macs, costs[0].macs)} than dense.`,
      );
    }

    load(presets[0]);
    update();
  });

  factorkit.costs = { FORMS, allCosts, commonDivisors, lastUsefulRank, outputSize };
})();
