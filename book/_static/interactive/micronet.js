// The score calculator: what a network would score if all of it had one width and one pruned fraction.
// It computes what micronet_resources.profile.estimate() and micronet_resources.challenge.points() compute.
"use strict";

(() => {
  const { announcer, bar, choiceControl, element, fieldset, fixed, numberControl, register, table, whole } =
    factorkit;
  const FULL = 32;
  const MAC_KINDS = ["convolution", "linear", "matmul", "attention", "recurrent"];

  // A network is { params, operations }; an operation sums up calls with dot products of one length:
  // { kind, weighted, outputs, multiplications, additions }.

  /** What is left of an operation without its pruned filters, and without its zero weights if the rules say so. */
  const workLeft = (operation, rules, { structured, nonzero }) => {
    const left = 1 - structured;
    const outputs = left * operation.outputs;
    if (!MAC_KINDS.includes(operation.kind)) {
      return { outputs, multiplications: left * operation.multiplications, additions: left * operation.additions };
    }
    const macs = (operation.weighted && rules.skips_zeros ? nonzero : left) * operation.multiplications;
    const gone = operation.multiplications - macs - (operation.outputs - outputs);
    return { outputs, multiplications: macs, additions: Math.max(operation.additions - gone, 0) };
  };

  /** The terms of a score under one rule set, storage first. */
  const estimate = (network, rules, task, { weightBits, activationBits, structured, unstructured }) => {
    const nonzero = Math.max(1 - (structured + unstructured), 0);
    const free = rules.free_bits !== null && Math.min(weightBits, activationBits) >= rules.free_bits;
    const masked = unstructured ? (1 - structured) * network.params : 0;
    const bits = free ? rules.free_bits : weightBits;
    const stored = (bits * nonzero * network.params + rules.mask_bits * masked) / FULL;
    const work = Object.fromEntries(rules.operation_terms.map((name) => [name, 0]));
    for (const operation of network.operations) {
      const { outputs, multiplications, additions } = workLeft(operation, rules, { structured, nonzero });
      if (operation.kind === "normalization" && rules.per_normalized !== null) {
        work.normalization += rules.per_normalized * outputs;
        continue;
      }
      if (rules.multiplied.includes(operation.kind)) {
        let width = operation.weighted ? Math.max(weightBits, activationBits) : activationBits;
        if (free) width = Math.min(width, rules.free_bits);
        if (operation.weighted && weightBits === 1 && rules.signs_bits !== null) width = rules.signs_bits;
        work[rules.added.length ? "multiplications" : "operations"] += (width / FULL) * multiplications;
      }
      if (rules.added.includes(operation.kind)) work.additions += additions;
    }
    const terms = [{ name: "storage", full: stored, reference: task.reference_params }];
    for (const [name, full] of Object.entries(work)) terms.push({ name, full, reference: task.reference_ops });
    for (const term of terms) term.value = term.full / term.reference;
    return { terms, score: terms.reduce((total, term) => total + term.value, 0), free };
  };

  /** Points for an accuracy in percent and a score, or null where the task gives none. */
  const points = (task, accuracy, score, maximum) => {
    if (task.start_score === null) return null;
    const clamp = (share) => Math.min(Math.max(share, 0), 1);
    const { floor_percent: floor, threshold_percent: threshold, threshold_share: share } = task;
    if (accuracy < threshold) return maximum * share * clamp((accuracy - floor) / (threshold - floor));
    const gain = Math.log(task.start_score / Math.max(score, 1e-12)) / Math.log(task.start_score / task.target_score);
    return maximum * (share + (1 - share) * clamp(gain));
  };

  /** A network of which only a few sums are known: convolutions and linear layers, normalization and ReLUs. */
  const ownNetwork = ({ params, macs, outputs, normalized, activated }) => ({
    params,
    operations: [
      { kind: "convolution", weighted: true, outputs, multiplications: macs, additions: Math.max(macs - outputs, 0) },
      {
        kind: "normalization",
        weighted: true,
        outputs: normalized,
        multiplications: normalized,
        additions: normalized,
      },
      { kind: "activation", weighted: false, outputs: activated, multiplications: activated, additions: 0 },
    ],
  });

  register("micronet", (root, { rules, networks, maximum }) => {
    const change = () => update();
    const named = (list) => list.map((name) => [name, name]);
    const ruleChoice = choiceControl({
      label: "Rules",
      options: named(Object.keys(rules)),
      change: () => {
        offerTasks();
        update();
      },
    });
    const taskChoice = choiceControl({
      label: "Task",
      options: named(["patterns"]),
      change: () => {
        offerNetworks();
        update();
      },
    });
    const networkChoice = choiceControl({
      label: "Network",
      options: named(networks.map((network) => network.name)),
      change,
    });
    const amount = (label, value, max, hint = "") =>
      numberControl({ label, value, min: 0, max, change, hint, slides: false });
    const own = {
      params: amount("Parameters", 20_000, 40_000_000),
      macs: amount("Multiply-accumulates for one image", 1_000_000, 2_000_000_000),
      outputs: amount(
        "Values that these layers put out",
        40_000,
        20_000_000,
        "A sum of v products has v - 1 additions: one less for each value.",
      ),
      normalized: amount("Values normalized", 40_000, 20_000_000),
      activated: amount("Values through a ReLU", 40_000, 20_000_000),
    };
    const ownNumbers = fieldset("Your numbers", ...Object.values(own));
    const bits = (label) => numberControl({ label, value: 32, min: 1, max: 32, change });
    const share = (label, hint) => numberControl({ label, value: 0, min: 0, max: 1, step: 0.01, hint, change });
    const settings = {
      weightBits: bits("Bits of a weight"),
      activationBits: bits("Bits of a value in a feature map"),
      structured: share("Weights pruned in whole filters", "A fraction of all weights."),
      unstructured: share("Weights pruned one by one", "A fraction of all weights as well."),
    };
    const accuracy = numberControl({ label: "Accuracy in percent", value: 92, min: 0, max: 100, step: 0.1, change });
    const result = element("div", { class: "fk-result" });
    root.append(
      element(
        "div",
        { class: "fk-columns" },
        fieldset("The challenge", ruleChoice, taskChoice, networkChoice, accuracy),
        element("div", {}, fieldset("The network, compressed", ...Object.values(settings)), ownNumbers),
      ),
      result,
    );
    const say = announcer(root);

    function offerTasks() {
      taskChoice.setOptions(named(Object.keys(rules[ruleChoice.value].tasks)), taskChoice.value);
      offerNetworks();
    }
    function offerNetworks() {
      const fitting = networks.filter((network) => network.tasks.includes(taskChoice.value));
      networkChoice.setOptions(
        [...named(fitting.map((network) => network.name)), ["own", "numbers of your own"]],
        networkChoice.value,
      );
    }
    const values = (controls) =>
      Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]));

    function update() {
      const chosen = rules[ruleChoice.value],
        task = chosen.tasks[taskChoice.value];
      settings.unstructured.setLimits(0, Number((1 - settings.structured.value).toFixed(2)));
      ownNumbers.hidden = networkChoice.value !== "own";
      const network = ownNumbers.hidden
        ? networks.find(({ name }) => name === networkChoice.value)
        : ownNetwork(values(own));
      const found = estimate(network, chosen, task, values(settings));
      const valid = accuracy.value >= task.threshold_percent;
      const earned = points(task, accuracy.value, found.score, maximum);
      const verdict = valid ? "" : `, but no valid entry: ${task.data} asks for ${task.threshold_percent} %`;
      const total = element(
        "p",
        { class: "fk-total" },
        "Score ",
        element("strong", { "data-result": "score" }, fixed(found.score, 4)),
        element("span", { class: valid ? "" : "fk-bad" }, verdict),
        earned === null
          ? null
          : element("span", { "data-result": "points" }, `; ${fixed(earned, 2)} of ${maximum} points`),
      );
      const swatch = (place) =>
        element("span", { class: "fk-swatch", style: `background: var(--fk-${"abcd"[place]})` });
      const terms = table(
        "What adds up to the score; a lower one is better",
        ["term", "arithmetic", "value"],
        found.terms.map((term, place) => [
          element("span", {}, swatch(place), term.name),
          `${whole(term.full)} / ${whole(term.reference)}`,
          element("span", { "data-term": term.name }, fixed(term.value, 4)),
        ]),
      );
      const others = Object.values(rules).map((each) => {
        const there = each.tasks[taskChoice.value];
        const scored = there && estimate(network, each, there, values(settings));
        return [
          each.name,
          scored ? fixed(scored.score, 4) : "no such task",
          scored ? scored.terms.map((term) => `${term.name} ${fixed(term.value, 4)}`).join(", ") : "",
        ];
      });
      const widest = Math.max(found.score, 2);
      const parts = element(
        "div",
        { class: "fk-stack" },
        bar(...found.terms.map((term) => term.value / widest)),
        element("p", { class: "fk-note" }, `The bar is ${fixed(widest, 2)} wide; a reference network scores 2.`),
      );
      const note = found.free
        ? element(
            "p",
            { class: "fk-note" },
            `Nothing is narrower than ${chosen.free_bits} bits: storage and multiplications count at that width.`,
          )
        : null;
      result.replaceChildren(
        ...[
          total,
          parts,
          note,
          terms,
          table(
            `The same network under all rules that have the task ${task.data}`,
            ["rules", "score", "terms"],
            others,
          ),
        ].filter(Boolean),
      );
      ruleChoice.say(chosen.description);
      taskChoice.say(
        `Reference: ${task.reference}. ${whole(task.reference_params)} parameters of 32 bits count as 1, so do ` +
          `${whole(task.reference_ops)} operations.`,
      );
      say(
        `Score ${fixed(found.score, 4)} under ${chosen.name} on ${task.data}${verdict}.` +
          (earned === null ? "" : ` ${fixed(earned, 2)} points.`),
      );
    }

    taskChoice.setOptions(named(Object.keys(rules[ruleChoice.value].tasks)), "patterns");
    offerNetworks();
    update();
  });

  factorkit.micronet = { estimate, ownNetwork, points };
})();
