"use strict";
// One bundle: a slider over the slices of a stack, a click focuses where it hits, hovering tells depth and blur.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const [slice, depth, sharp, slider] = ["slice", "depth", "sharp", "focus"].map(at);
  const colours = Uint8Array.from(atob(data.colours), (c) => c.charCodeAt(0)); // 256 times RGB, far to near
  const HINT = "Point at a picture to read depth and blur.";
  let sample, images, dioptres; // of the sample on show; dioptres: NaN where unknown
  let shown = -1, pointed = null, request = 0;

  const metres = (m) => `${Number(m.toPrecision(3))} m`;
  const pixels = (px) => `${px.toFixed(px < 10 ? 2 : 1)} px`;

  async function picture(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  }

  // Depth lies in the red and green of a lossless picture: 1 to 65535 between far and near, 0 = unknown.
  async function decodeDepth(code) {
    const canvas = document.createElement("canvas");
    canvas.width = data.width;
    canvas.height = data.height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(await picture(code.image), 0, 0);
    const rgba = context.getImageData(0, 0, data.width, data.height).data;
    const [far, near] = code.dioptres;
    return Float64Array.from({ length: data.width * data.height }, (_, i) => {
      const value = rgba[4 * i] * 256 + rgba[4 * i + 1];
      return value ? far + ((value - 1) / 65534) * (near - far) : NaN;
    });
  }

  async function show(index) {
    const mine = ++request;
    const next = data.samples[index];
    document.body.dataset.ready = "";
    const loaded = await Promise.all([decodeDepth(next.depth), ...[...next.images, next.all_in_focus].map(picture)]);
    if (mine !== request) return; // another sample was asked for meanwhile
    [dioptres, ...images] = loaded;
    sample = next;
    at("sample").value = index;
    at("previous").disabled = index === 0;
    at("next").disabled = index === data.samples.length - 1;
    at("camera").textContent = sample.camera;
    slider.max = sample.focus_m.length - 1;
    at("far").textContent = metres(sample.focus_m[0]);
    at("near").textContent = metres(sample.focus_m[sample.focus_m.length - 1]);
    for (const canvas of [slice, depth, sharp]) {
      canvas.width = data.width;
      canvas.height = data.height;
    }
    sharp.getContext("2d").drawImage(images[images.length - 1], 0, 0);
    drawDepth();
    pointed = null;
    focusOn(shown < 0 ? Math.floor(sample.focus_m.length / 2) : Math.min(shown, sample.focus_m.length - 1));
    document.body.dataset.ready = sample.index;
  }

  function drawDepth() {
    const [far, near] = sample.depth.shown_dioptres;
    const context = depth.getContext("2d");
    const map = context.createImageData(data.width, data.height);
    dioptres.forEach((value, i) => {
      const code = Math.round(255 * Math.min(1, Math.max(0, (value - far) / Math.max(near - far, 1e-9))));
      map.data.set(Number.isNaN(value) ? [128, 128, 128, 255] : [...colours.subarray(3 * code, 3 * code + 3), 255], 4 * i);
    });
    context.putImageData(map, 0, 0);
    at("depth-near").textContent = metres(1 / near);
    at("depth-far").textContent = metres(1 / far);
    const bar = at("bar").getContext("2d");
    for (let i = 0; i < 256; i++) {
      bar.fillStyle = `rgb(${colours.subarray(3 * (255 - i), 3 * (255 - i) + 3).join()})`;
      bar.fillRect(i, 0, 1, 1);
    }
  }

  function focusOn(n) {
    shown = n;
    slider.value = n;
    const said = `${metres(sample.focus_m[n])}, slice ${n + 1} of ${sample.focus_m.length}`;
    at("focused").textContent = said;
    slider.setAttribute("aria-valuetext", said);
    slice.setAttribute("aria-label", `Slice focused at ${said}`);
    const context = slice.getContext("2d");
    context.clearRect(0, 0, data.width, data.height);
    if (at("aligned").checked) {
      // Slice n shows at c + m (u - c) + t what the reference slice shows at u; edges of pixels are whole numbers here.
      const [m, [x, y]] = [sample.magnification[n], sample.shift_px[n]];
      const start = (size, shift) => size / 2 - (size / 2 + shift) / m;
      context.drawImage(images[n], start(data.width, x), start(data.height, y), data.width / m, data.height / m);
    } else {
      context.drawImage(images[n], 0, 0);
    }
    read();
  }

  // The pixel of the reference slice, whose geometry depth has, under a pointer on ``canvas``; null outside.
  function pixelOf(event, canvas) {
    const box = canvas.getBoundingClientRect();
    let u = ((event.clientX - box.left) / box.width) * data.width;
    let v = ((event.clientY - box.top) / box.height) * data.height;
    if (canvas === slice && !at("aligned").checked) {
      const [m, [x, y]] = [sample.magnification[shown], sample.shift_px[shown]];
      u = data.width / 2 + (u - data.width / 2 - x) / m;
      v = data.height / 2 + (v - data.height / 2 - y) / m;
    }
    const [column, row] = [Math.floor(u), Math.floor(v)];
    return column >= 0 && row >= 0 && column < data.width && row < data.height ? row * data.width + column : null;
  }

  const blurPx = (n, dpt) => sample.blur_px_m[n] * Math.abs(1 / sample.focus_m[n] - dpt);

  function read() {
    if (pointed === null) {
      at("reading").textContent = HINT;
      return;
    }
    const dpt = dioptres[pointed.pixel];
    const where = `x ${pointed.pixel % data.width}, y ${Math.floor(pointed.pixel / data.width)}`;
    at("reading").textContent = Number.isNaN(dpt)
      ? `${where}: depth unknown`
      : `${where}: depth ${dpt > 0 ? `${(1 / dpt).toPrecision(4)} m` : "infinite"}, blur ${pixels(blurPx(shown, dpt))}`;
  }

  for (const canvas of [slice, depth, sharp]) {
    const point = (event) => {
      if (!sample) return;
      const pixel = pixelOf(event, canvas);
      pointed = pixel === null ? null : { pixel };
      read();
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return; // what a finger touched stays to be read
      pointed = null;
      if (sample) read();
    });
    canvas.addEventListener("click", (event) => {
      point(event);
      if (pointed === null || Number.isNaN(dioptres[pointed.pixel])) return;
      const blurs = sample.focus_m.map((_, n) => blurPx(n, dioptres[pointed.pixel]));
      focusOn(blurs.indexOf(Math.min(...blurs)));
    });
  }

  const turn = (step) => {
    const index = data.samples.indexOf(sample) + step;
    if (data.samples[index]) show(index);
  };
  const last = () => sample.focus_m.length - 1;
  const keys = {
    ArrowLeft: () => focusOn(Math.max(0, shown - 1)),
    ArrowDown: () => focusOn(Math.max(0, shown - 1)),
    ArrowRight: () => focusOn(Math.min(last(), shown + 1)),
    ArrowUp: () => focusOn(Math.min(last(), shown + 1)),
    Home: () => focusOn(0),
    End: () => focusOn(last()),
    PageUp: () => turn(-1),
    PageDown: () => turn(1),
  };
  document.addEventListener("keydown", (event) => {
    const elsewhere = event.target.tagName === "SELECT" || event.ctrlKey || event.altKey || event.metaKey;
    if (!sample || elsewhere || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  slider.addEventListener("input", () => sample && focusOn(Number(slider.value)));
  at("aligned").addEventListener("change", () => sample && focusOn(shown));
  at("sample").addEventListener("change", (event) => show(Number(event.target.value)));
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  data.samples.forEach((s, i) => at("sample").add(new Option(`${s.index}: ${s.source_id}`, i)));
  show(0);
})();
