/* Owns: a drawn chart as a PNG: its SVG with the colours that it has on the page, painted at twice its size. */
(() => {
  const { h } = window.studio;
  const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font", "font-weight", "paint-order", "stroke-linejoin", "text-anchor"];

  function still(svg) {
    const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((node, at) => {
      const style = getComputedStyle(node);
      for (const name of KEPT) to[at].style.setProperty(name, style.getPropertyValue(name));
    });
    const { width, height } = svg.getBoundingClientRect();
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }

  /** The chart as a PNG blob, on the colour that is behind it. */
  window.studio.picture = async (svg, times = 2) => {
    const { text, width, height } = still(svg), link = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    try {
      const image = new Image();
      image.src = link;
      await image.decode();
      const canvas = h("canvas", { width: Math.round(width * times), height: Math.round(height * times) }), pen = canvas.getContext("2d");
      pen.fillStyle = getComputedStyle(svg.closest(".panel") || document.body).backgroundColor;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.scale(times, times);
      pen.drawImage(image, 0, 0, width, height);
      return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    } finally { URL.revokeObjectURL(link); }
  };
  /** Save a blob under a name. */
  window.studio.save = (blob, name) => {
    const link = h("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
})();
