"use strict";
// Draws a sweep over the keys that the reader chooses: a map over two keys, or lines over one with the proven bound.
(() => {
  const known = JSON.parse(document.getElementById("data").textContent).sweeps || {};
  const COLOURS = ["#2f64cc", "#c2671a", "#1f8a68", "#7a4fc0", "#b3261e", "#5a6372"];
  const MAP = [[0, "#fde8c8"], [0.5, "#ee9f78"], [1, "#5b1a4a"]];
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const shown = (value) => value === null ? "as it is" : typeof value === "number" ? (Number.isInteger(value) ? value : Number(value.toPrecision(4))).toLocaleString("en") : String(value);

  class Explorer {
    constructor(name, data) {
      this.data = data;
      this.at = (part) => document.getElementById(`${name}-${part}`);
      this.values = {};
      for (const { key } of data.keys) {
        const found = [...new Set(data.columns[key])];
        this.values[key] = found.every((value) => value === null || typeof value === "number") ? found.sort((a, b) => a - b) : found;
      }
      const many = data.keys.map((entry) => entry.key).sort((a, b) => this.values[b].length - this.values[a].length);
      const keys = data.keys.map((entry) => [entry.key, entry.label]);
      this.measure = this.choice("Show", data.measures.map((entry) => [entry.key, entry.label]), data.measures[0].key, name);
      this.across = this.choice("Across", keys, many[0], name);
      this.down = this.choice("Down", [["", "nothing: lines"], ...keys], many[1] || "", name);
      this.fixed = {};
      for (const { key, label } of data.keys) {
        const options = this.values[key].map((value, index) => [String(index), shown(value)]);
        this.fixed[key] = this.choice(label, options, String(Math.floor((options.length - 1) / 2)), name);
      }
      window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      this.draw();
    }

    choice(label, options, chosen, name) {
      const box = document.createElement("div"), text = document.createElement("label"), select = document.createElement("select");
      select.id = `${name}-choice-${this.at("controls").children.length}`;
      text.htmlFor = select.id;
      text.textContent = label;
      for (const [value, shownAs] of options) select.add(new Option(shownAs, value));
      select.value = chosen;
      select.addEventListener("change", () => this.draw());
      box.append(text, select);
      this.at("controls").append(box);
      return select;
    }

    label(key) { return [...this.data.keys, ...this.data.measures].find((entry) => entry.key === key).label; }

    draw() {
      const across = this.across.value, down = this.down.value === across ? "" : this.down.value;
      const rest = this.data.keys.map((entry) => entry.key).filter((key) => key !== across && key !== down);
      for (const [key, select] of Object.entries(this.fixed)) select.parentElement.classList.toggle("hidden", !rest.includes(key));
      const columns = this.data.columns, measure = columns[this.measure.value];
      const rows = measure.map((_, row) => row).filter((row) => rest.every((key) => columns[key][row] === this.values[key][this.fixed[key].value]));
      const traces = down ? this.map(rows, across, down, measure) : this.lines(rows, across, measure);
      const numeric = (key) => this.values[key].every((value) => typeof value === "number");
      const axis = (key) => ({ title: { text: plain(this.label(key)) }, type: down || !numeric(key) ? "category" : "linear", automargin: true });
      const layout = {
        height: 420, margin: { l: 70, r: 10, t: 20, b: 60 }, xaxis: axis(across), showlegend: !down,
        yaxis: down ? axis(down) : { title: { text: plain(this.label(this.measure.value)) }, rangemode: "tozero", automargin: true },
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      };
      if (down) delete layout.legend;
      Plotly.react(this.at("plot"), traces, window.reportTheme(layout), window.reportConfig);
      const place = rest.map((key) => `${this.label(key)} ${shown(this.values[key][this.fixed[key].value])}`).join(", ");
      const caption = `${this.label(this.measure.value)} over ${this.label(across)}${down ? ` and ${this.label(down)}` : ""}${place ? ` at ${place}` : ""}; empty where a point has no plan.`;
      this.at("caption").textContent = caption;
      this.at("plot").setAttribute("aria-label", caption);
    }

    map(rows, across, down, measure) {
      const columns = this.data.columns, x = this.values[across], y = this.values[down];
      const z = y.map(() => x.map(() => null));
      for (const row of rows) z[y.indexOf(columns[down][row])][x.indexOf(columns[across][row])] = measure[row];
      return [{
        type: "heatmap", x: x.map((value) => plain(shown(value))), y: y.map((value) => plain(shown(value))), z, colorscale: MAP,
        colorbar: { thickness: 12 }, xgap: 1, ygap: 1, texttemplate: x.length * y.length <= 80 ? "%{z:.4~g}" : "",
        hovertemplate: `${plain(this.label(across))} %{x}<br>${plain(this.label(down))} %{y}<br>%{z:.6~g}<extra></extra>`,
      }];
    }

    lines(rows, across, measure) {
      const columns = this.data.columns, place = (row) => this.values[across].indexOf(columns[across][row]);
      const sorted = [...rows].sort((a, b) => place(a) - place(b));
      const line = (values, name, colour, dash) => ({
        x: sorted.map((row) => (typeof columns[across][row] === "number" ? columns[across][row] : plain(shown(columns[across][row])))),
        y: sorted.map((row) => values[row]), name, mode: "lines+markers", line: { color: colour, dash }, connectgaps: false,
      });
      const traces = [line(measure, plain(this.label(this.measure.value)), COLOURS[0], "solid")];
      if (this.measure.value === "cost_usd" && columns.bound_usd) traces.push(line(columns.bound_usd, "proven bound", COLOURS[1], "dot"));
      return traces;
    }
  }

  for (const [name, data] of Object.entries(known)) setTimeout(() => new Explorer(name, data), 0);
})();
