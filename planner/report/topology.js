"use strict";
// Draws hosts, GPUs, slots and links of one deployment in the load of one layer, and the heat map of all layers.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const known = JSON.parse(document.getElementById("data").textContent).drawings || {};
  const COLD = [33, 102, 172], EVEN = [205, 209, 216], HOT = [178, 24, 43];
  const mix = (from, to, share) => from.map((value, index) => Math.round(value + share * (to[index] - value)));
  const rgb = (parts) => `rgb(${parts.join(",")})`;

  function shade(value, reach) { // 1 is the mean; reach is the largest distance from it
    const share = Math.max(-1, Math.min(1, (value - 1) / (reach || 1)));
    return share < 0 ? mix(EVEN, COLD, -share) : mix(EVEN, HOT, share);
  }

  function ink(parts) { // black or white, whichever stands out more
    const linear = parts.map((part) => (part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 ? "#000" : "#fff";
  }

  function node(tag, attributes, parent, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  const reachOf = (rows) => Math.max(0.0005, ...rows.map((row) => Math.max(...row.map((value) => Math.abs(value - 1)))));
  const mean = (row) => row.reduce((sum, value) => sum + value, 0) / row.length;
  const overMean = (rows) => rows && rows.map((row) => row.map((value) => value / (mean(row) || 1)));
  const amount = (value, unit) => unit === "B" ? (value >= 1e6 ? `${(value / 1e6).toPrecision(3)} MB` : `${(value / 1e3).toPrecision(3)} kB`) : `${value.toPrecision(3)} sends ${unit === "sends" ? "a token" : "an assignment"}`;

  class Drawing {
    constructor(name, data) {
      this.data = data;
      this.at = (part) => document.getElementById(`${name}-${part}`);
      this.select = this.at("deployment");
      this.slider = this.at("layer");
      this.select.addEventListener("change", () => this.build());
      this.slider.addEventListener("input", () => this.paint());
      window.addEventListener("resize", () => { if (this.at("drawing").clientWidth !== this.width) this.build(); });
      window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.heat());
      this.rank = 0;
      this.build();
    }

    get own() { return this.data.drawings[Number(this.select.value)]; }
    get layer() { return Math.min(Number(this.slider.value), this.own.layers.length - 1); }

    build() {
      const own = this.own;
      this.slider.max = own.layers.length - 1;
      this.rank = Math.min(this.rank, own.ranks - 1);
      this.reach = reachOf(own.load);
      this.ports = overMean(own.port);
      this.uplinks = overMean(own.uplink);
      this.linkReach = Math.max(this.ports ? reachOf(this.ports) : 0, this.uplinks ? reachOf(this.uplinks) : 0);
      this.widest = Math.max(...this.data.maps[own.map].map((row, layer) => Math.max(...this.slotLoads(layer))));
      this.lay();
      this.legend();
      this.paint();
      this.heat();
    }

    slotLoads(layer) { // tokens of each slot over the mean expert's
      const row = this.data.maps[this.own.map][layer], load = this.data.expert_load[layer], copies = new Map();
      for (const expert of row) copies.set(expert, (copies.get(expert) || 0) + 1);
      return row.map((expert) => (expert < 0 ? 0 : load[expert] / copies.get(expert)));
    }

    lay() {
      const place = this.at("drawing"), own = this.own, gpus = own.ranks * own.gpus_per_rank;
      this.width = place.clientWidth;
      place.replaceChildren();
      const total = Math.max(this.width, 240), host = Math.min(own.per_host, gpus, own.per_domain), margin = 26;
      const spans = Math.ceil(gpus / own.per_domain), lane = Math.min(11, 66 / spans);
      const space = total - margin - (own.uplink ? 12 + spans * lane : 6);
      const most = Math.floor(space / (host * 32 + 10));
      const hosts = Math.max(1, Math.min(most, Math.ceil(Math.min(gpus, own.per_domain) / host)));
      const cell = Math.max(24, Math.min(54, Math.floor((space - 10 * hosts) / (hosts * host)) - 4));
      const perRow = hosts * host;
      const svg = node("svg", { width: total, role: "group", "aria-label": `GPUs of one stage of ${own.name}` }, place);
      this.cells = [];
      this.domains = [];
      let top = own.uplink ? 34 : 4;
      const backbone = own.uplink ? node("rect", { x: 2, y: 14, width: total - 4, height: 8, rx: 3, class: "switch" }, svg) : null;
      if (backbone) node("text", { x: 4, y: 10, class: "label" }, svg, "scale-out network");
      for (let first = 0; first < gpus; first += own.per_domain) {
        const count = Math.min(own.per_domain, gpus - first), rows = Math.ceil(count / perRow), number = first / own.per_domain;
        const height = 30 + rows * 58;
        node("rect", { x: 2, y: top, width: total - 4, height, rx: 6, class: "box" }, svg);
        node("text", { x: 26, y: top + 15, class: "label" }, svg, `domain ${number + 1}: ${count} GPUs`);
        node("path", { d: `M14 ${top + 8} V${top + 24 + (rows - 1) * 58}`, class: "wire" }, svg);
        if (backbone) {
          // each way out has a lane of its own at the right, the first domain's innermost
          const x = total - 10 - lane * (spans - 1 - number);
          const line = node("path", { d: `M${x} 22 V${top + 16} h-8`, fill: "none", "stroke-width": Math.min(7, lane - 2) }, svg);
          this.domains.push({ line, title: node("title", {}, line), number });
        }
        node("rect", { x: 8, y: top + 5, width: 12, height: 12, rx: 2, class: "switch" }, svg);
        for (let row = 0; row < rows; row += 1) {
          const wide = Math.min(perRow, count - row * perRow), y = top + 24 + row * 58;
          const end = margin + (wide - 1) * (cell + 4) + Math.floor((wide - 1) / host) * 10 + cell / 2;
          node("path", { d: `M14 ${y} H${end}`, class: "wire" }, svg);
          for (let column = 0; column < wide; column += 1) {
            const x = margin + column * (cell + 4) + Math.floor(column / host) * 10;
            this.cell(svg, first + row * perRow + column, x, y, cell);
          }
        }
        top += height + 14;
      }
      svg.setAttribute("height", top);
      svg.addEventListener("keydown", (event) => this.walk(event, perRow));
    }

    cell(svg, gpu, x, y, size) {
      const own = this.own, group = node("g", { class: "gpu", role: "button", tabindex: gpu ? -1 : 0 }, svg);
      const link = node("path", { d: `M${x + size / 2} ${y} v12`, "stroke-width": 5, fill: "none" }, group);
      const face = node("rect", { x, y: y + 12, width: size, height: 34, rx: 4, class: "edge", stroke: "var(--soft)" }, group);
      const text = node("text", { x: x + size / 2, y: y + 27, "text-anchor": "middle" }, group, String(gpu));
      const stripes = [], wide = (size - 6) / own.slots;
      for (let slot = 0; slot < own.slots; slot += 1) {
        stripes.push(node("rect", { x: x + 3 + slot * wide, y: y + 33, width: Math.max(wide - (wide > 3 ? 1 : 0.2), 0.5), height: 10, fill: "#14181f" }, group));
      }
      const rank = Math.floor(gpu / own.gpus_per_rank), show = () => { this.rank = rank; this.tell(); };
      group.addEventListener("focus", show);
      group.addEventListener("click", () => { show(); group.focus(); });
      group.addEventListener("mouseenter", show);
      this.cells.push({ group, link, face, text, stripes, rank, gpu });
    }

    walk(event, perRow) {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow }[event.key];
      const from = this.cells.findIndex((cell) => cell.group === document.activeElement);
      if (from < 0) return;
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.tell(); return; }
      const to = { Home: 0, End: this.cells.length - 1 }[event.key] ?? from + (step || 0);
      if (to === from || !this.cells[to]) return;
      event.preventDefault();
      this.cells[from].group.setAttribute("tabindex", -1);
      this.cells[to].group.setAttribute("tabindex", 0);
      this.cells[to].group.focus();
    }

    paint() {
      const own = this.own, layer = this.layer, load = own.load[layer], slots = this.slotLoads(layer);
      const text = `layer ${own.layers[layer]} of ${own.layers[0]} to ${own.layers.at(-1)}`;
      this.at("value").textContent = text;
      this.slider.setAttribute("aria-valuetext", text);
      for (const cell of this.cells) {
        const colour = shade(load[cell.rank], this.reach), front = ink(colour);
        cell.face.setAttribute("fill", rgb(colour));
        cell.text.setAttribute("fill", front);
        cell.link.setAttribute("stroke", this.ports ? rgb(shade(this.ports[layer][cell.rank], this.linkReach)) : "var(--soft)");
        cell.stripes.forEach((stripe, slot) => {
          stripe.setAttribute("fill", front);
          stripe.setAttribute("fill-opacity", 0.12 + 0.88 * Math.min(1, slots[cell.rank * own.slots + slot] / this.widest));
        });
        cell.group.setAttribute("aria-label", `GPU ${cell.gpu}, load ${load[cell.rank].toFixed(3)} of the mean, experts ${this.experts(layer, cell.rank).join(", ")}`);
      }
      for (const domain of this.domains) {
        domain.line.setAttribute("stroke", rgb(shade(this.uplinks[layer][domain.number], this.linkReach)));
        domain.title.textContent = `domain ${domain.number + 1}: ${amount(own.uplink[layer][domain.number], own.unit)} from outside`;
      }
      this.tell();
    }

    experts(layer, rank) {
      return this.data.maps[this.own.map][layer].slice(rank * this.own.slots, (rank + 1) * this.own.slots);
    }

    tell() {
      const own = this.own, layer = this.layer, rank = this.rank, place = this.at("chosen"), slots = this.slotLoads(layer);
      for (const cell of this.cells) cell.group.setAttribute("aria-pressed", cell.rank === rank);
      const line = document.createElement("p"), chips = document.createElement("div");
      const name = own.gpus_per_rank > 1 ? `Rank ${rank} (GPUs ${rank * own.gpus_per_rank} to ${(rank + 1) * own.gpus_per_rank - 1})` : `GPU ${rank}`;
      const port = own.port ? `; ${amount(own.port[layer][rank], own.unit)} arrive over its port` : "";
      line.textContent = `${name}, layer ${own.layers[layer]}: load ${own.load[layer][rank].toFixed(4)} of the mean${port}. Experts, with the tokens of each copy over the mean expert's:`;
      chips.className = "chips";
      chips.tabIndex = 0;
      this.experts(layer, rank).forEach((expert, slot) => {
        const chip = document.createElement("span");
        chip.textContent = expert < 0 ? "empty" : `${expert}: ${slots[rank * own.slots + slot].toFixed(2)}`;
        chips.append(chip);
      });
      place.replaceChildren(line, chips);
    }

    legend() {
      const bar = (reach) => {
        const scale = document.createElement("span");
        scale.className = "scale";
        scale.style.background = `linear-gradient(90deg, ${rgb(COLD)}, ${rgb(EVEN)}, ${rgb(HOT)})`;
        return [(1 - reach).toFixed(4), scale, (1 + reach).toFixed(4)];
      };
      const entries = [["GPU load over the mean: ", ...bar(this.reach)]];
      if (this.ports) entries.push(["link load over the mean: ", ...bar(this.linkReach)]);
      else entries.push(["links: no tokens are dispatched between ranks, or their number is not known"]);
      if (this.own.stages > 1) entries.push([`one of ${this.own.stages} pipeline stages is drawn; each holds its own layers`]);
      this.at("legend").replaceChildren(...entries.map((parts) => {
        const item = document.createElement("li");
        item.append(...parts);
        return item;
      }));
    }

    heat() {
      const own = this.own, place = this.at("heat"), reach = this.reach;
      const drawn = {
        type: "heatmap", z: own.load, x: own.load[0].map((_, rank) => rank), y: own.layers, zmin: 1 - reach, zmax: 1 + reach,
        colorscale: [[0, rgb(COLD)], [0.5, rgb(EVEN)], [1, rgb(HOT)]], colorbar: { thickness: 12, tickformat: ".4f" },
        hovertemplate: "layer %{y}, rank %{x}<br>load %{z:.4f} of the mean<extra></extra>",
      };
      const layout = {
        height: 360, margin: { l: 48, r: 8, t: 8, b: 44 }, xaxis: { title: { text: "rank" }, tickformat: "d", nticks: Math.min(own.ranks, 12) },
        yaxis: { title: { text: "layer" }, autorange: "reversed" },
      };
      Plotly.react(place, [drawn], window.reportTheme(layout), window.reportConfig).then(() => {
        place.removeAllListeners("plotly_click");
        place.on("plotly_click", (event) => {
          this.slider.value = own.layers.indexOf(event.points[0].y);
          this.paint();
        });
      });
    }
  }

  for (const [name, data] of Object.entries(known)) setTimeout(() => new Drawing(name, data), 0);
})();
