// A board whose columns, rows and order the reader chooses; what is chosen stands in the address.
// Without this script the table below it stands as it is, sorted by rank.
{
  const MISSING = "–";
  const shown = (value, column) =>
    value === null ? MISSING : (column.percent ? value.toFixed(2) : value.toFixed(3)).replace("-", "−");

  // What a row may call itself, by how many of its records were computed again.
  const STANDINGS = { all: "verified", partly: "partly verified", none: "self-reported" };
  const standing = ({ verified: [n, of] }) => (n === of ? "all" : n ? "partly" : "none");
  const told = (row) => STANDINGS[standing(row)] + (standing(row) === "partly" ? ` (${row.verified.join(" of ")})` : "");

  class Board {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector("script").textContent);
      this.columns = new Map(this.data.columns.map((column, i) => [column.id, { ...column, i }]));
      // Numbers come in units of their last shown digit.
      const unit = this.data.columns.map((column) => (column.percent ? 100 : 1000));
      const numbers = (values) => values.map((value, i) => (value === null ? null : value / unit[i]));
      this.rows = this.data.rows.map((row) => ({
        ...row, entry: this.data.entries[row.entry], mean: numbers(row.mean), half: numbers(row.half),
      }));
      this.state = this.read();
      this.table = make("table", { class: "board" });
      this.count = make("p", { class: "notes", role: "status" });
      this.pages = make("div", { class: "scroll tall", role: "region", tabindex: "0", "aria-label": this.data.title }, this.table);
      const controls = this.controls();
      for (const child of [...root.children]) if (child.tagName !== "SCRIPT") child.hidden = true;
      root.append(controls, this.count, this.pages);
      window.addEventListener("hashchange", () => {
        this.state = this.read();
        this.show();
      });
      this.show();
    }

    // What is chosen, as the address says it; what it does not say is as at first.
    read() {
      const said = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
      const columns = (said.get("columns") || "").split(",").filter((id) => this.columns.has(id));
      const sort = said.get("sort") || "";
      const known = this.columns.has(sort.replace(/^-/, "")) || sort.replace(/^-/, "") === "name";
      return {
        search: said.get("search") || "",
        init: this.data.inits.includes(said.get("init")) ? said.get("init") : "",
        needs: this.data.needs.includes(said.get("needs")) ? said.get("needs") : "",
        objective: this.data.objectives.includes(said.get("objective")) ? said.get("objective") : "",
        cost: this.budgets().includes(said.get("cost")) ? said.get("cost") : "",
        verified: Object.keys(STANDINGS).includes(said.get("verified")) ? said.get("verified") : "",
        chosen: ["published", "tuned", "both"].includes(said.get("chosen")) ? said.get("chosen") : "published",
        columns: columns.length ? columns : this.data.shown,
        sort: known ? sort : "",
      };
    }

    write(changed) {
      Object.assign(this.state, changed);
      const said = new URLSearchParams();
      for (const name of ["search", "init", "needs", "objective", "cost", "verified", "sort"]) if (this.state[name]) said.set(name, this.state[name]);
      if (this.state.chosen !== "published") said.set("chosen", this.state.chosen);
      if (this.state.columns.join() !== this.data.shown.join()) said.set("columns", this.state.columns.join());
      const address = said.toString().replaceAll("%2C", ",");
      history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
      this.show();
    }

    controls() {
      const select = (name, label, values, any) =>
        make("label", {}, `${label} `, make("select", { name, onchange: (event) => this.write({ [name]: event.target.value }) },
          ...(any ? [make("option", { value: "", text: any })] : []),
          ...values.map(([value, text]) => make("option", { value, text }))));
      const plain = (values) => values.map((value) => [value, value]);
      const search = make("input", { type: "search", name: "search", oninput: (event) => this.write({ search: event.target.value }) });
      this.form = make("form", { class: "controls", onsubmit: (event) => event.preventDefault() },
        make("label", {}, "Search ", search),
        ...(this.data.inits.length > 1 ? [select("init", "Init", plain(this.data.inits), "all")] : []),
        select("needs", "Needs", plain(this.data.needs), "anything"),
        ...(this.data.objectives.length > 1 ? [select("objective", "Objective", plain(this.data.objectives), "all")] : []),
        ...(this.budgets().length ? [select("cost", "Forward passes", this.budgets().map((most) => [most, `at most ${most}`]), "any number")] : []),
        select("verified", "Verified", Object.entries(STANDINGS), "any"),
        select("chosen", "Hyper-parameters", [["published", "as published"], ["tuned", "tuned"], ["both", "both"]]),
        this.chooser(),
        make("button", { type: "button", text: "CSV", title: "What is shown, as CSV", onclick: () => this.save("csv") }),
        make("button", { type: "button", text: "JSON", title: "What is shown, as JSON", onclick: () => this.save("json") }),
        make("button", { type: "button", text: "Reset", onclick: () => this.write(this.fresh()) }));
      return this.form;
    }

    fresh() {
      return { search: "", init: "", needs: "", objective: "", cost: "", verified: "", chosen: "published", columns: this.data.shown, sort: "" };
    }

    // A box for each column, by group.
    chooser() {
      const groups = new Map();
      for (const column of this.columns.values()) groups.set(column.group, [...(groups.get(column.group) || []), column]);
      const toggle = (event) => {
        const { value, checked } = event.target;
        const kept = [...this.columns.keys()].filter((id) => (id === value ? checked : this.state.columns.includes(id)));
        this.write({ columns: kept.length ? kept : this.data.shown });
      };
      return make("details", { class: "chooser" }, make("summary", { text: "Columns" }),
        make("div", {}, ...[...groups].map(([group, columns]) =>
          make("fieldset", {}, make("legend", { text: group }), ...columns.map((column) =>
            make("label", {}, make("input", { type: "checkbox", value: column.id, onchange: toggle }), ` ${column.title}`))))));
    }

    // What an image may cost at most, in forward passes of the network.
    budgets() {
      return this.columns.has("cost.forwards") ? ["1.1", "1.5", "2", "4"] : [];
    }

    visible() {
      const { search, init, needs, objective, cost, verified, chosen } = this.state;
      const passes = this.columns.get("cost.forwards")?.i;
      const words = search.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = this.rows.filter((row) =>
        (!init || row.init === init) &&
        (!needs || row.entry.needs === needs) &&
        (!objective || row.entry.objective === objective) &&
        (!cost || (row.mean[passes] !== null && row.mean[passes] <= Number(cost))) &&
        (!verified || standing(row) === verified) &&
        (chosen === "both" || (chosen === "tuned") === row.entry.tuned) &&
        words.every((word) => `${row.entry.name} ${row.entry.title} ${row.init} ${row.entry.objective}`.toLowerCase().includes(word)));
      const sort = this.state.sort || this.first();
      const descending = sort.startsWith("-");
      const id = sort.replace(/^-/, "");
      const column = this.columns.get(id);
      const key = (row) => (column ? row.mean[column.i] : `${row.entry.name} ${row.init}`);
      const unplaced = (row) => !this.state.sort && chosen !== "both" && this.place(row) === null;
      return rows.sort((a, b) => {
        if (unplaced(a) !== unplaced(b)) return unplaced(a) - unplaced(b);
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const order = column ? x - y : x.localeCompare(y);
        return descending ? -order : order; // what is equal as shown stays in the order of the data, which is exact
      });
    }

    first() {
      const column = this.columns.get(this.data.ranked_by);
      return column.better === "higher" ? `-${column.id}` : column.id;
    }

    // Where a row stands among all rows of its kind, or among those of its init where one is chosen.
    place(row) {
      if (this.state.chosen === "both") return null;
      return this.state.init ? row.within : row.place;
    }

    show() {
      const rows = this.visible();
      const columns = this.state.columns.map((id) => this.columns.get(id));
      const sort = this.state.sort || this.first();
      const head = (id, title, note, better) => {
        const ascending = sort === id, descending = sort === `-${id}`;
        const next = better === "higher" ? (descending ? id : `-${id}`) : (ascending ? `-${id}` : id);
        const button = make("button", { type: "button", onclick: () => this.write({ sort: next }) }, title);
        if (better) button.append("\u00a0", make("span", { "aria-hidden": "true", text: better === "higher" ? "↑" : "↓" }));
        return make("th", { scope: "col", class: id === "name" ? "text" : null, title: note,
          "aria-sort": ascending ? "ascending" : descending ? "descending" : null }, button);
      };
      const ranked = this.columns.get(this.data.ranked_by);
      this.table.replaceChildren(
        make("thead", {}, make("tr", {}, head("name", "Entry", "by name"),
          make("th", { scope: "col", title: `by ${ranked.group} ${ranked.title}`, text: "Position" }),
          ...columns.map((column) => head(column.id, `${column.group} ${column.title}`.trim(), column.note || column.id, column.better)),
          make("th", { scope: "col", text: "Seeds" }),
          make("th", { scope: "col", class: "text", title: "how many of its records were computed again", text: "Verified" }))),
        make("tbody", {}, ...rows.map((row) => this.row(row, columns))));
      this.count.textContent = `${rows.length} of ${this.rows.length} rows. ` + this.reading();
      for (const field of this.form.elements) {
        if (field.type === "checkbox") field.checked = this.state.columns.includes(field.value);
        else if (field.name in this.state && field.value !== this.state[field.name]) field.value = this.state[field.name];
      }
    }

    reading() {
      if (this.state.chosen === "both") return "Positions are of published and of tuned values apart: choose one of them.";
      const among = this.state.init ? `among rows of ${this.state.init}` : "among all rows";
      const kind = this.state.chosen === "tuned" ? "tuned " : "";
      return `Position ${among} with ${kind || "published "}values, and its 95 % interval; ● is not significantly worse than the first.`;
    }

    row(row, columns) {
      const place = this.place(row);
      const name = breakable(row.entry.name);
      const label = make("th", { scope: "row" }, ...(row.entry.page ? [make("a", { href: row.entry.page }, ...name)] : name), make("span", { class: "soft", text: ` · ${row.init}` }));
      if (row.note) label.append(make("small", { text: row.note }));
      const position = place
        ? make("td", {}, `${place[0]} `, make("span", { class: "spread", text: `[${place[1]}–${place[2]}]` }),
            ...(place[3] ? [make("span", { class: "lead", title: "not significantly worse than the first", text: " ●" })] : []))
        : make("td", { text: MISSING });
      return make("tr", {}, label, position, ...columns.map((column) => {
        const half = row.half[column.i];
        const cell = make("td", { text: shown(row.mean[column.i], column) });
        if (half !== null && row.mean[column.i] !== null) cell.append(" ", make("span", { class: "spread", text: `± ${shown(half, column)}` }));
        return cell;
      }), make("td", { text: row.seeds === this.data.seeds ? row.seeds : `${row.seeds} of ${this.data.seeds}` }),
      make("td", { class: "text", text: told(row) }));
    }

    // What is shown: a row an entry and init, a column a number, with half its interval beside it.
    save(kind) {
      const columns = this.state.columns.map((id) => this.columns.get(id));
      const objects = this.visible().map((row) => ({
        entry: row.entry.name, objective: row.entry.objective, init: row.init, seeds: row.seeds, verified: STANDINGS[standing(row)],
        position: this.place(row)?.[0] ?? null, position_low: this.place(row)?.[1] ?? null, position_high: this.place(row)?.[2] ?? null,
        ...Object.fromEntries(columns.flatMap((column) => [[column.id, row.mean[column.i]], [`${column.id}.half`, row.half[column.i]]])),
      }));
      const quoted = (value) => (value === null ? "" : /[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
      const lines = () => [Object.keys(objects[0] ?? {}), ...objects.map(Object.values)].map((line) => line.map(quoted).join(",")).join("\n");
      const text = kind === "csv" ? `${lines()}\n` : JSON.stringify({ track: this.data.track, backbone: this.data.backbone, rows: objects }, null, 1);
      const url = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
      make("a", { href: url, download: `${this.data.track}.${kind}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    }
  }

  for (const root of document.querySelectorAll('.live[data-script="board"]')) new Board(root);
}
