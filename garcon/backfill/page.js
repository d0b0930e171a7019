// Draws the grids of a report and tells of the cell under the pointer. Everything it shows comes
// from the page's own data and is set as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const sizeOf = (columns) => {
    const room = Math.max(300, document.body.clientWidth - 150);
    return Math.max(4, Math.min(18, Math.floor(room / columns)));
  };

  function draw(canvas, grid) {
    const rows = grid.rows.length;
    const size = sizeOf(grid.width);
    const labels = Math.min(180, 12 + 7 * Math.max(1, ...grid.rows.map((row) => row.length)));
    const scale = window.devicePixelRatio || 1;
    const width = labels + grid.width * size;
    const height = rows * size + 2;
    // Browsers refuse a canvas beyond some 16,000 pixels a side: then pixels grow instead.
    const fit = Math.min(scale, 16000 / Math.max(width, height));
    canvas.width = Math.ceil(width * fit);
    canvas.height = Math.ceil(height * fit);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    const pen = canvas.getContext("2d");
    pen.setTransform(fit, 0, 0, fit, 0, 0);
    pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--soft");
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const every = Math.ceil(13 / size);
    for (let row = 0; row < rows; row += every) {
      const y = Math.max(7, row * size + size / 2 + 1);
      pen.fillText(grid.rows[row].slice(0, 24), 2, y, labels - 6);
    }
    const gap = size > 5 ? 1 : 0;
    for (const [letter, color] of Object.entries(data.colors)) {
      pen.fillStyle = color;
      for (let at = grid.marks.indexOf(letter); at >= 0; at = grid.marks.indexOf(letter, at + 1)) {
        const x = labels + (at % grid.width) * size;
        const y = Math.floor(at / grid.width) * size + 1;
        pen.fillRect(x, y, size - gap, size - gap);
      }
    }
    grid.size = size;
    grid.labels = labels;
  }

  function placeAt(canvas, grid, event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - grid.labels) / grid.size);
    const row = Math.floor((event.clientY - box.top - 1) / grid.size);
    if (column < 0 || column >= grid.width || row < 0 || row >= grid.rows.length) return -1;
    return row * grid.width + column;
  }

  function words(grid, at) {
    const row = grid.rows[Math.floor(at / grid.width)];
    const keys = grid.wrapped[at] || [row, grid.columns[at % grid.width]].join("  ");
    const lines = [keys, data.names[grid.marks[at]]];
    const attempts = grid.attempts[at] || ("dfr".includes(grid.marks[at]) ? 1 : 0);
    if (attempts) lines.push(attempts + (attempts === 1 ? " attempt" : " attempts"));
    if (grid.milliseconds[at] >= 0) lines.push((grid.milliseconds[at] / 1000).toFixed(3) + " s");
    if (at in grid.reasons) lines.push(grid.texts[grid.reasons[at]]);
    return lines.join("\n");
  }

  function show(canvas, grid, event) {
    const at = placeAt(canvas, grid, event);
    tip.hidden = at < 0 || grid.marks[at] === "-";
    if (tip.hidden) return;
    tip.textContent = words(grid, at);
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = (below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10) + "px";
  }

  data.grids.forEach((grid, number) => {
    const canvas = document.getElementById("grid-" + number);
    draw(canvas, grid);
    canvas.addEventListener("mousemove", (event) => show(canvas, grid, event));
    canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
    window.addEventListener("resize", () => draw(canvas, grid));
  });
})();
