/* Owns: a chart as a PNG, at twice its size. */
(() => {
  const { h } = window.studio;
  /** A chart as a PNG blob, on the color that is behind it. */
  window.studio.picture = async (box) => {
    const drawn = await box.chart.canvas(), canvas = h("canvas", { width: drawn.width, height: drawn.height }), pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(box.closest(".panel") || document.body).backgroundColor;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(drawn, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };
  /** Save a blob under a name. */
  window.studio.save = (blob, name) => {
    const link = h("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
})();
