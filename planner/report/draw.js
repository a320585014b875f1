"use strict";
// Draws the page's figures in the colours of the page, again when the reader's theme changes.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

  function themed(layout) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const copy = structuredClone(layout);
    const narrow = window.innerWidth < 640; // the legend then takes a line an entry
    copy.height += narrow && copy.legend ? 90 : 0;
    copy.paper_bgcolor = copy.plot_bgcolor = "rgba(0,0,0,0)";
    copy.font = { family: style.fontFamily, size: narrow ? 11 : 13, color: colour("--text") };
    copy.hoverlabel = { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") } };
    for (const key of Object.keys(copy).filter((name) => /^[xy]axis\d*$/.test(name))) {
      const axis = copy[key];
      Object.assign(axis, { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false });
      if (axis.title) {
        Object.assign(axis.title, { font: { size: copy.font.size }, standoff: 8 });
      }
    }
    for (const note of copy.annotations || []) {
      Object.assign(note, { x: 0, xanchor: "left", font: { size: 13, color: colour("--text") } });
    }
    return copy;
  }

  function draw() {
    for (const [name, figure] of Object.entries(figures)) {
      // a task each: the page can be read and scrolled while the figures below are drawn
      setTimeout(() => Plotly.react(`figure-${name}`, figure.data, themed(figure.layout), config), 0);
    }
  }

  window.reportTheme = themed;
  window.reportConfig = config;
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
