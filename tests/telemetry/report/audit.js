// What is wrong with the page as it is drawn now, as sentences by kind. The texts that are looked at are counted.
() => {
  const faults = { overflow: [], outside: [], overlap: [], marks: [], contrast: [] };
  const width = document.documentElement.clientWidth;
  const named = (node) => `${node.tagName} "${(node.textContent ?? "").trim().slice(0, 60)}"`;
  const visible = (node) => node.checkVisibility() && node.getBoundingClientRect().width > 0;

  // Colours, as light as WCAG sees them
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, at) => (part * a + below[at] * (255 - a)) / 255).concat(255);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 255]);
  };
  const seen = (node, colour, opacity = 1) => {
    const below = ground(node);
    const [r, g, b, a] = rgba(colour);
    return contrast(over([r, g, b, a * opacity], below), below);
  };
  const legible = (node, colour, what) => {
    const found = seen(node, colour);
    if (found < 4.5) faults.contrast.push(`${what} ${named(node)}: ${colour} has ${found.toFixed(2)}`);
  };

  // The page
  if (document.documentElement.scrollWidth > width) faults.overflow.push(`the page is ${document.documentElement.scrollWidth} wide`);
  let texts = 0;
  for (const node of document.querySelectorAll("body *:not(svg *, script)")) {
    if (!visible(node)) continue;
    const { left, right } = node.getBoundingClientRect();
    const scrolls = node.parentElement.closest(".scroll");
    if (!scrolls && (left < -0.5 || right > width + 0.5)) faults.overflow.push(`${named(node)} from ${left} to ${right}`);
    if ([...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) {
      texts += 1;
      legible(node, getComputedStyle(node).color, "text");
    }
  }

  // Its charts
  const charts = [...document.querySelectorAll(".chart")];
  const style = getComputedStyle(document.documentElement);
  const read = (name) => rgba(style.getPropertyValue(`--${name}`).trim()).join();
  const painted = new Set(["good", "bad", ...[1, 2, 3, 4, 5, 6, 7, 8].map((at) => `series-${at}`)].map(read));
  for (const chart of charts) {
    const title = chart.getAttribute("aria-label");
    const frame = chart.getBoundingClientRect();
    const labels = [...chart.querySelectorAll("svg text")].filter((text) => text.textContent.trim());
    const boxes = labels.map((text) => text.getBoundingClientRect());
    texts += labels.length;
    boxes.forEach((box, at) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        faults.outside.push(`${title}: ${named(labels[at])}`);
      boxes.slice(at + 1).forEach((other, further) => {
        const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (across > 1 && down > 0.25 * Math.min(box.height, other.height))
          faults.overlap.push(`${title}: ${named(labels[at])} and ${named(labels[at + 1 + further])}`);
      });
      legible(labels[at], getComputedStyle(labels[at]).fill, title);
    });
    // A legend's icon stands left of its name; what else has a colour of the series is a mark.
    const icon = (box) =>
      boxes.some((name) => name.left - box.right > 0 && name.left - box.right < 12 && Math.abs(name.top + name.bottom - box.top - box.bottom) < 8) &&
      box.width < 16;
    const best = new Map(); // contrast of the plainest mark of each colour: what is below a line is fainter
    for (const shape of chart.querySelectorAll("svg path, svg circle, svg rect")) {
      const { fill, stroke, fillOpacity, strokeOpacity } = getComputedStyle(shape);
      const box = shape.getBoundingClientRect();
      if (icon(box) || !(box.width || box.height)) continue;
      for (const [colour, opacity] of [[fill, fillOpacity], [stroke, strokeOpacity]]) {
        if (colour === "none" || !painted.has(rgba(colour).join())) continue;
        best.set(colour, Math.max(best.get(colour) ?? 0, seen(shape, colour, Number(opacity))));
      }
    }
    if (!best.size) faults.marks.push(title);
    for (const [colour, found] of best) {
      if (found < 3) faults.contrast.push(`${title}: a mark in ${colour} has ${found.toFixed(2)}`);
    }
  }
  return { ...faults, texts, charts: charts.length, dark: document.documentElement.hasAttribute("data-dark") };
};
