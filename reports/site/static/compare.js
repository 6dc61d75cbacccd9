// Two to five entries beside each other; which ones stands in the address.
// Without this script a table and figures of cost against near AUROC stand in its place.
{
  const SVG = "http://www.w3.org/2000/svg";
  const draw = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);
  const fixed = (value, digits = 2) => {
    const text = value.toFixed(digits);
    return Number(text) ? text.replace("-", "−") : text.replace("-", "");
  };
  const signed = (value) => (Number(value.toFixed(2)) > 0 ? "+" : "") + fixed(value);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const several = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

  // Round numbers from low to high.
  const ticks = (low, high, most = 5) => {
    if (!(high > low)) return [low];
    const least = (high - low) / most, unit = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].map((factor) => factor * unit).find((one) => one >= least * (1 - 1e-9));
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i++) found.push(i * step);
    return found;
  };
  // The same for a logarithmic axis.
  const costTicks = (low, high) => {
    if (high < 3 * low) return ticks(low, high, 4);
    for (const mantissas of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1]]) {
      const found = [];
      for (let ten = Math.floor(Math.log10(low)); ten <= Math.log10(high); ten++)
        for (const m of mantissas) if (m * 10 ** ten >= low && m * 10 ** ten <= high) found.push(m * 10 ** ten);
      if (found.length <= 6 || mantissas.length === 1) return found;
    }
  };
  const tickText = (tick) => String(Number(tick.toPrecision(4)));

  // Axes within a figure: where numbers lie, and their lines, ticks and names.
  class Axes {
    constructor(width, height, x, y) {
      Object.assign(this, { width, height, low: x[0], high: x[1], least: y[0], most: y[1] });
      Object.assign(this, { left: 46, right: width - 14, top: 10, bottom: height - 44 });
    }
    x(value) { return this.left + ((this.right - this.left) * (value - this.low)) / (this.high - this.low || 1); }
    y(value) { return this.bottom - ((this.bottom - this.top) * (value - this.least)) / (this.most - this.least || 1); }
    frame(across, up, xs, ys) {
      const { left, right, top, bottom } = this, middle = (top + bottom) / 2;
      return draw("g", { class: "axes" }, draw("path", { d: `M${left} ${top}V${bottom}H${right}` }),
        ...xs.flatMap(([at, text]) => [draw("path", { d: `M${this.x(at)} ${bottom}v4` }),
          draw("text", { x: this.x(at), y: bottom + 17, "text-anchor": "middle", text })]),
        ...ys.flatMap(([at, text]) => [draw("path", { d: `M${left} ${this.y(at)}h-4` }),
          draw("text", { x: left - 7, y: this.y(at) + 4, "text-anchor": "end", text })]),
        draw("text", { x: (left + right) / 2, y: bottom + 37, "text-anchor": "middle", text: across }),
        draw("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})`, text: up }));
    }
  }

  class Compare {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector("script").textContent);
      this.rows = new Map(this.data.rows.map((row, i) =>
        [`${this.data.inits[row.init]} ${this.data.entries[row.entry].name}`, { ...row, i, ...this.data.entries[row.entry] }]));
      this.names = new Set(this.data.entries.map((entry) => entry.name));
      this.apart = new Set(this.data.apart.map((pair) => pair.join()));
      this.state = this.read();
      this.told = make("p", { class: "notes", role: "status" });
      this.list = make("ol", { class: "chosen", tabindex: "-1", "aria-label": "Entries that are compared; the first is the reference" });
      this.result = make("div");
      const controls = this.controls();
      for (const child of [...root.children]) if (child.tagName !== "SCRIPT") child.hidden = true;
      root.append(controls, this.list, this.told, this.result);
      window.addEventListener("hashchange", () => {
        this.state = this.read();
        this.show();
      });
      this.width = root.clientWidth;
      window.addEventListener("resize", () => {
        if (root.clientWidth !== this.width) this.figures();
      });
      this.show();
    }

    // What is chosen, as the address says it; what it does not say is as at first.
    read() {
      const said = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
      const entries = [...new Set((said.get("entries") || "").split(","))].filter((name) => this.names.has(name));
      return {
        entries: entries.slice(0, this.data.most), // none: those that we suggest
        init: this.data.inits.includes(said.get("init")) ? said.get("init") : this.data.inits[0],
      };
    }

    entries() {
      return this.state.entries.length ? this.state.entries : this.data.start[this.data.inits.indexOf(this.state.init)];
    }

    write(changed, told = "") {
      Object.assign(this.state, changed);
      const { entries, init } = this.state;
      const said = new URLSearchParams({ ...(entries.length ? { entries: entries.join() } : {}), init });
      history.replaceState(null, "", `#${said.toString().replaceAll("%2C", ",")}`);
      this.show(told);
    }

    controls() {
      this.input = make("input", { name: "entry", list: "entries", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
      this.init = make("select", { name: "init", onchange: (event) => this.write({ init: event.target.value }) },
        ...this.data.inits.map((text) => make("option", { value: text, text })));
      this.adds = make("button", { type: "submit", text: "Add" });
      return make("form", { class: "controls", onsubmit: (event) => { event.preventDefault(); this.named(this.input.value); } },
        make("label", {}, "Add one, or compare several ", this.input),
        make("datalist", { id: "entries" }, ...[...this.names].sort().map((value) => make("option", { value }))),
        this.adds,
        ...(this.data.inits.length > 1 ? [make("label", {}, "Init ", this.init)] : []),
        make("button", { type: "button", text: "Reset", onclick: () => this.write({ entries: [], init: this.data.inits[0] }) }));
    }

    // What was written: one name is added, several make a comparison of their own.
    named(text) {
      const names = [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
      const unknown = names.filter((name) => !this.names.has(name));
      if (names.length < 2) this.add(names[0]);
      else if (unknown.length) this.told.textContent = `No entry of this track is called ${unknown.join(" or ")}.`;
      else if (names.length > this.data.most) this.told.textContent = `At most ${this.data.most} entries can be compared.`;
      else {
        this.input.value = "";
        this.write({ entries: names });
      }
    }

    add(name) {
      const entries = this.entries();
      if (!name) this.told.textContent = "Write the name of an entry first.";
      else if (!this.names.has(name)) this.told.textContent = `No entry of this track is called ${name}.`;
      else if (entries.includes(name)) this.told.textContent = `${name} is compared already.`;
      else if (entries.length >= this.data.most) this.told.textContent = `At most ${this.data.most} entries: remove one first.`;
      else {
        this.input.value = "";
        this.write({ entries: [...entries, name] }, `${name} is added. `);
      }
    }

    row(name) {
      return this.rows.get(`${this.state.init} ${name}`);
    }

    show(told = "") {
      const { init } = this.state, entries = this.entries();
      this.init.value = init;
      this.adds.disabled = entries.length >= this.data.most;
      const held = this.list.contains(document.activeElement);
      this.list.replaceChildren(...entries.map((name, i) => this.chip(name, i)));
      if (held) this.list.focus();
      const there = entries.filter((name) => this.row(name));
      const absent = entries.filter((name) => !this.row(name));
      this.told.textContent = told + (absent.length ? `Not measured with init ${init}: ${absent.join(", ")}. ` : "") +
        (there.length < 2 ? "Add another entry to compare." : `${there.slice(1).join(", ")} against ${there[0]}, init ${init}.`) +
        (this.state.entries.length ? "" : " Suggested: what is recommended at little cost, and the best, or the next, at any.");
      this.chosen = there.map((name) => ({ ...this.row(name), hue: entries.indexOf(name) }));
      this.plots = make("div");
      this.result.replaceChildren(...this.verdicts(), this.plots);
      this.figures();
    }

    chip(name, i) {
      const entries = this.entries(), rest = entries.filter((other) => other !== name);
      const tuned = this.data.entries.find((entry) => entry.name === name).tuned;
      return make("li", { class: `s${i}` }, make("span", { class: "key", "aria-hidden": "true" }), make("strong", { text: name }),
        ...(tuned ? [make("span", { class: "soft", text: "tuned on validation OOD sets" })] : []),
        i === 0 ? make("span", { class: "soft", text: "reference" })
          : make("button", { type: "button", text: "As reference", "aria-label": `Compare with ${name}`, onclick: () => this.write({ entries: [name, ...rest] }) }),
        ...(entries.length > 1 ? [make("button", { type: "button", text: "×", "aria-label": `Remove ${name}`, onclick: () => this.write({ entries: rest }) })] : []));
    }

    // Why two rows are not compared; empty where they are.
    hindrance(a, b) {
      const alone = [a, b].find((row) => row.alone);
      if (alone) return `${alone.name}: ${alone.alone}`;
      if (this.apart.has([a.i, b.i].sort((x, y) => x - y).join())) return "on networks that were trained apart";
      return a.seeds.filter((seed) => b.seeds.includes(seed)).length < 2 ? "fewer than two shared seeds" : "";
    }

    // Differences of all entries to the first, in points; intervals of a family hold together.
    differences(family) {
      const [first, ...others] = this.chosen;
      const columns = this.data.compared.map((column, i) => ({ ...column, i })).filter((column) => column.family === family);
      const all = others.map((row) => columns.map((column) => {
        const a = row.values[column.i], b = first.values[column.i], why = this.hindrance(first, row);
        if (why || !a || !b) return { why: why || "not measured" };
        const gaps = row.seeds.flatMap((seed, at) => {
          const other = first.seeds.indexOf(seed);
          return other < 0 ? [] : [(a[at] - b[other]) / this.data.unit];
        });
        const middle = mean(gaps), n = gaps.length;
        return { middle, n, sd: Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - middle) ** 2, 0) / (n - 1)) };
      }));
      const tested = all.flat().filter((one) => !one.why);
      for (const one of tested) {
        const half = (this.data.quantiles[one.n - 2][tested.length - 1] * one.sd) / Math.sqrt(one.n);
        Object.assign(one, { low: one.middle - half, high: one.middle + half });
        one.word = one.low > 0 ? "significantly better" : one.high < 0 ? "significantly worse"
          : Math.max(-one.low, one.high) <= this.data.same ? "about the same" : "undecided";
        one.look = one.low > 0 ? "better" : one.high < 0 ? "worse" : "soft";
      }
      return { columns, all, tested: tested.length };
    }

    verdicts() {
      if (this.chosen.length < 2) return [];
      const means = this.differences("means"), sets = this.differences("sets");
      const [first, ...others] = this.chosen;
      const said = others.map((row, at) => make("li", {}, make("strong", { text: row.name }), ` against ${first.name}: `,
        ...(means.all[at][0].why && means.all[at].every((one) => one.why) ? [`not compared (${means.all[at][0].why})`]
          : means.columns.flatMap((column, i) => {
            const one = means.all[at][i];
            return [i ? "; " : "", `${column.group} OOD `, ...(one.why ? [`not compared (${one.why})`]
              : [make("strong", { class: one.look, text: one.word }), ` (${signed(one.middle)}, ${signed(one.low)} to ${signed(one.high)})`])];
          })), "."));
      return [make("ul", { class: "verdicts" }, ...said),
        this.table("AUROC, groups of OOD sets", means),
        ...(sets.columns.length ? [this.table("AUROC, single OOD sets", sets)] : []),
        this.beside()];
    }

    head(...cells) {
      return make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "text", text: cells[0] }), ...cells.slice(1)));
    }

    entryHead(row) {
      return make("th", { scope: "col", class: `s${row.hue}` }, make("span", { class: "key", "aria-hidden": "true" }), make("a", { href: row.page, text: row.name }));
    }

    scrolled(title, about, ...parts) {
      const caption = make("caption", {}, make("div", {}, make("strong", { text: title }), ` ${about}`));
      return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": title }, make("table", {}, caption, ...parts));
    }

    table(title, { columns, all, tested }) {
      const [first, ...others] = this.chosen;
      const numbers = [...new Set(all.flat().filter((one) => one.n).map((one) => one.n))].sort((a, b) => a - b).join(" or ");
      const about = tested ? `Differences over ${numbers} shared seeds; the intervals of this table hold all at once (95 %, ${several(tested, "difference")}).` : "";
      const seen = this.data.seen[this.state.init];
      const own = (row, column) => make("td", { text: row.values[column.i] ? fixed(mean(row.values[column.i]) / this.data.unit) : "–" });
      return this.scrolled(title, about,
        this.head("OOD sets", this.entryHead(first), ...others.flatMap((row) => [this.entryHead(row),
          make("th", { scope: "col", text: `${row.name} − ${first.name}` })])),
        make("tbody", {}, ...columns.map((column, i) => {
          const label = make("th", { scope: "row" }, make("span", { class: "level", text: `${column.group} ` }), make("span", { class: "soft", text: column.title.replaceAll("_", " ") }));
          if (seen.includes(column.title)) label.append(make("small", { text: "the first weights saw it" }));
          return make("tr", { class: i && columns[i - 1].group !== column.group ? "first" : null }, label, own(first, column),
            ...others.flatMap((row, at) => [own(row, column), this.difference(all[at][i])]));
        })));
    }

    difference(one) {
      if (one.why) return make("td", { class: "difference" }, make("small", { class: "soft", text: "not compared" }));
      return make("td", { class: "difference" }, `${signed(one.middle)} `,
        make("span", { class: "spread", text: `[${signed(one.low)}, ${signed(one.high)}]` }), make("small", { class: one.look, text: one.word }));
    }

    // Numbers that are not compared.
    beside() {
      const cell = (found) => (found ? make("td", {}, fixed(found[0]), ...(found[1] === null ? [] : [" ", make("span", { class: "spread", text: `± ${fixed(found[1])}` })])) : make("td", { text: "–" }));
      const lines = this.data.others.map((title, i) => make("tr", {}, make("th", { scope: "row", text: title }), ...this.chosen.map((row) => cell(row.others[i]))));
      if (this.data.cost) lines.push(make("tr", {}, make("th", { scope: "row", text: capital(this.data.cost) }),
        ...this.chosen.map((row) => make("td", { text: row.cost === undefined ? "–" : this.costText(row) }))));
      lines.push(make("tr", {}, make("th", { scope: "row", text: "Seeds" }), ...this.chosen.map((row) => make("td", { text: row.seeds.length }))));
      return this.scrolled("Beside that", "Mean ± half the 95 % interval of each by itself; these are not tested.",
        this.head("Number", ...this.chosen.map((row) => this.entryHead(row))), make("tbody", {}, ...lines));
    }

    costText(row) {
      return row.cost < 0.1 ? String(Number(row.cost.toPrecision(2))) : fixed(row.cost);
    }

    figures() {
      this.width = this.root.clientWidth;
      const drawn = this.chosen.filter((row) => row.roc), without = this.chosen.filter((row) => !row.roc);
      const parts = [];
      if (this.data.fpr.length && this.chosen.length) {
        parts.push(make("h3", { text: "ROC curves" }));
        if (drawn.length) parts.push(make("div", { class: "beside" }, this.roc(drawn, 0, "near"), this.roc(drawn, 1, "far")));
        if (without.length) parts.push(make("p", { class: "notes", text: `The pages have no ROC curves of ${without.map((row) => row.name).join(", ")}.` }));
      }
      if (this.data.cost) parts.push(...this.costs());
      this.plots.replaceChildren(...parts);
    }

    roc(rows, which, group) {
      const width = Math.min(420, this.width), height = 0.8 * width;
      const axes = new Axes(width, height, [0, 1], [0, 1]), { fpr } = this.data;
      const column = this.data.compared.findIndex((one) => one.group === group && one.family === "means");
      const kept = (row, at) => row.roc[which][at] / 1000;
      const auroc = (row) => (row.values[column] ? ` ${fixed(mean(row.values[column]) / this.data.unit, 1)}` : "");
      // Names hang on the curves where these are farthest from each other.
      const room = (at) => {
        const ys = rows.map((row) => kept(row, at)).sort((a, b) => a - b);
        return ys.length < 2 ? -Math.abs(fpr[at] - 0.2) : Math.min(...ys.slice(1).map((y, i) => y - ys[i]));
      };
      const at = fpr.map((x, i) => i).filter((i) => fpr[i] >= 0.02 && fpr[i] <= 0.4).reduce((a, b) => (room(b) > room(a) ? b : a));
      const order = [...rows].sort((a, b) => kept(b, at) - kept(a, at));
      const text = (tick) => [tick, tickText(100 * tick)];
      const figure = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", class: "drawn",
        "aria-label": `ROC curves, ${group} OOD. AUROC: ${rows.map((row) => row.name + auroc(row)).join(", ")}.` },
        axes.frame("OOD images let through (%)", "ID images kept (%)", [0, 0.2, 0.4, 0.6, 0.8, 1].map(text), [0, 0.5, 1].map(text)),
        draw("path", { class: "chance", d: `M${axes.x(0)} ${axes.y(0)}L${axes.x(1)} ${axes.y(1)}` }),
        ...rows.map((row) => draw("path", { class: `line s${row.hue}`, d: `M${fpr.map((x, i) => `${axes.x(x).toFixed(1)} ${axes.y(kept(row, i)).toFixed(1)}`).join("L")}` })),
        ...order.flatMap((row, i) => {
          const x = axes.x(0.5), y = axes.bottom - 10 - 17 * (order.length - 1 - i);
          return [draw("path", { class: `lead-line s${row.hue}`, d: `M${axes.x(fpr[at])} ${axes.y(kept(row, at))}L${x - 4} ${y - 4}` }),
            draw("text", { class: `name s${row.hue}`, x, y, text: row.name + auroc(row) })];
        }));
      return make("figure", {}, make("figcaption", { text: `${capital(group)} OOD` }), figure);
    }

    // Cost against near AUROC of all entries of the init; pointer and arrow keys go from point to point.
    costs() {
      const near = this.data.compared.findIndex((one) => one.group === "near" && one.family === "means");
      const points = this.data.entries.map((entry) => this.row(entry.name)).filter((row) => row && row.cost > 0 && row.values[near])
        .map((row) => ({ ...row, near: mean(row.values[near]) / this.data.unit, chosen: this.chosen.find((one) => one.i === row.i) }));
      if (!points.length) return [];
      const width = Math.min(760, this.width), height = Math.min(420, Math.max(300, 0.62 * width));
      const wide = (low, high) => [low - (0.06 * (high - low) || 0.01), high + (0.06 * (high - low) || 0.01)];
      // Most entries cost little more than the pass itself: what is drawn is what they cost beyond it.
      const { beyond } = this.data;
      const drawn = (cost) => (beyond ? Math.max(100 * (cost - 1), beyond.least) : cost);
      const costs = points.map((point) => drawn(point.cost)), nears = points.map((point) => point.near);
      const [low, high] = [Math.min(...costs), Math.max(...costs)];
      const axes = new Axes(width, height, wide(Math.log10(low), Math.log10(high)), wide(Math.min(...nears), Math.max(...nears)));
      for (const point of points) Object.assign(point, { x: axes.x(Math.log10(drawn(point.cost))), y: axes.y(point.near) });
      points.sort((a, b) => a.cost - b.cost || b.near - a.near);
      const front = points.filter((point) => point.front);
      // Costs that round to the same are equal: the front rises where these begin.
      const begins = (point) => (!beyond ? point.x
        : Math.max(axes.left, axes.x(Math.log10(drawn(beyond.rounded * (Math.round(point.cost / beyond.rounded) - 0.5))))));
      const steps = front.map((point, i) => `${i ? `H${begins(point)}V` : `M${begins(point)} `}${point.y}`).join("");
      const name = (point, attributes) => {
        const left = point.x > (axes.left + axes.right) / 2;
        return draw("text", { x: point.x + (left ? -1 : 1) * (attributes.beside || 9), y: attributes.y, "text-anchor": left ? "end" : "start", class: attributes.class, text: point.name });
      };
      // The chosen and the front bear their names, from above to below, none on another; a line leads to each.
      const marked = points.filter((point) => point.chosen);
      const hue = (point) => (point.chosen ? ` s${point.chosen.hue}` : "");
      let lowest = axes.top - 15;
      const names = points.filter((point) => point.chosen || point.front).sort((a, b) => a.y - b.y).flatMap((point) => {
        const y = (lowest = Math.max(point.y + 4, lowest + 15)), beside = 30;
        const x = point.x + (point.x > (axes.left + axes.right) / 2 ? -1 : 1) * (beside - 3);
        return [draw("path", { class: `lead-line${hue(point)}`, d: `M${point.x} ${point.y}L${x} ${y - 4}` }),
          name(point, { y, beside, class: `name${hue(point)}` })];
      });
      const ring = draw("circle", { r: 8, class: "ring", visibility: "hidden" });
      const over = draw("g", { "aria-hidden": "true" });
      const said = make("p", { class: "pointed", role: "status" });
      const describe = (point) => `${point.name}: ${this.costText(point)} ${this.data.cost}, near AUROC ${fixed(point.near)}` +
        (point.networks ? `, ensembles of ${several(point.networks, "network")}` : "") + (point.front ? ", on the front" : "");
      let at = -1;
      const point = (i) => {
        at = i;
        const one = points[i];
        ring.setAttribute("cx", one.x);
        ring.setAttribute("cy", one.y);
        ring.setAttribute("visibility", "visible");
        over.replaceChildren(...(one.chosen ? [] : [name(one, { y: one.y + 4, class: "name over" })]));
        const more = one.chosen || this.entries().length >= this.data.most ? []
          : [" ", make("button", { type: "button", text: "Add", "aria-label": `Add ${one.name}`, onclick: () => this.add(one.name) })];
        said.replaceChildren(`${describe(one)}.`, ...more);
      };
      const nearest = (event) => {
        const box = figure.getBoundingClientRect(), scale = width / box.width;
        const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
        const far = points.map((one) => Math.hypot(one.x - x, one.y - y));
        const i = far.indexOf(Math.min(...far));
        if (far[i] < 40 && i !== at) point(i);
      };
      const key = (event) => {
        const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (steps) point((Math.max(at, steps > 0 ? -1 : 0) + steps + points.length) % points.length);
        else if (event.key === "Home" || event.key === "End") point(event.key === "Home" ? 0 : points.length - 1);
        else if (event.key === "Enter" && at >= 0) this.add(points[at].name);
        else return;
        event.preventDefault();
      };
      const figure = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "drawn costs", tabindex: "0", role: "application",
        "aria-label": `Cost against near AUROC of ${several(points.length, "entry").replace("entrys", "entries")}. Arrow keys go from point to point by cost, Enter adds the entry.`,
        onpointermove: nearest, onpointerdown: nearest, onkeydown: key, onfocus: () => at < 0 && figure.matches(":focus-visible") && point(0) },
        axes.frame(`${beyond ? beyond.axis : this.data.cost} (log.)`, "near AUROC (%)", costTicks(low, high).map((tick) => [Math.log10(tick), tickText(tick)]),
          ticks(axes.least, axes.most, 4).map((tick) => [tick, tickText(tick)])),
        ...points.filter((one) => !one.front && !one.chosen).map((one) => draw("circle", { class: "rest", cx: one.x, cy: one.y, r: 3 })),
        draw("path", { class: "front", d: `${steps}H${axes.right}` }),
        ...front.map((one) => draw("circle", { class: "on-front", cx: one.x, cy: one.y, r: 4 })),
        ...marked.map((one) => draw("circle", { class: `mark s${one.chosen.hue}`, cx: one.x, cy: one.y, r: 5.5 })),
        ...names,
        ring, over);
      said.textContent = "Point at an entry, or tap it, to see which it is.";
      const list = front.map((one) => `${one.name} (${this.costText(one)}; ${fixed(one.near)})`).join(", ");
      return [make("h3", { text: "Cost against near AUROC" }),
        make("figure", {}, make("figcaption", { text: `${points.length} entries, init ${this.state.init}` }), figure, said),
        make("p", { class: "notes", text: `On the Pareto front (cost; near AUROC): ${list}.` })];
    }
  }

  for (const root of document.querySelectorAll('.live[data-script="compare"]')) new Compare(root);
}
