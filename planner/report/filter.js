"use strict";
// Shows only the rows of a table that hold every word typed into its box.
(() => {
  for (const box of document.querySelectorAll("input[data-table]")) {
    const table = document.getElementById(box.dataset.table);
    const rows = [...table.querySelectorAll("tbody tr")];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const count = document.getElementById(`${box.dataset.table}-count`);
    const apply = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, index) => {
        const fits = words.every((word) => texts[index].includes(word));
        row.classList.toggle("hidden", !fits);
        shown += fits;
      });
      count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    };
    box.addEventListener("input", apply);
    apply();
  }
})();
