// Classifies images with an exported network, on WebAssembly: load it, prepare an image as evaluation does, run, show.

const MODEL = "model.tflite";
const LABELS = "labels.txt";
const CLASSES_SHOWN = 5;

const element = (id) => document.getElementById(id);

/** The network, ready to run, with the names of its classes. */
async function load() {
  const notInstalled = () => {
    throw new Error("LiteRT.js cannot be loaded: run `npm ci` in the folder of this page.");
  };
  const { loadLiteRt, loadAndCompile, Tensor } = await import("@litertjs/core").catch(notInstalled);
  const model = new Uint8Array(await (await read(MODEL)).arrayBuffer());
  const labels = (await (await read(LABELS)).text()).trimEnd().split(/\r?\n/);
  await loadLiteRt("node_modules/@litertjs/core/wasm/").catch(notInstalled);
  const compiled = await loadAndCompile(model, { accelerator: "wasm" }).catch((error) => {
    throw new Error(`${MODEL} is damaged, or not a TFLite file: ${error.message}`);
  });
  const [input] = compiled.getInputDetails();

  /** Float32 RGB pixels in [0, 255] to the network's outputs, arrays by their names, and the milliseconds of the run. */
  async function run(pixels) {
    const images = new Tensor(pixels, input.shape);
    const start = performance.now();
    const outputs = await compiled.run({ [input.name]: images });
    const milliseconds = performance.now() - start;
    images.delete();
    const arrays = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      arrays[name] = await tensor.data();
      tensor.delete();
    }
    return { ...arrays, milliseconds };
  }

  const [, size] = input.shape;
  const { probabilities } = await run(new Float32Array(size * size * 3)); // the first run is slower than the others
  if (probabilities.length !== labels.length) {
    throw new Error(`${LABELS} names ${labels.length} classes, but ${MODEL} has ${probabilities.length}.`);
  }
  return { size, labels, run };
}

/** A file beside this page, as it is now: not the browser's copy of one that was exported before. */
async function read(name) {
  const response = await fetch(name, { cache: "no-store" }).catch(() => ({ ok: false }));
  if (!response.ok) {
    throw new Error(`${name} cannot be loaded: export the network into the folder of this page.`);
  }
  return response;
}

/** The part of an image that the network looks at, its center square, as RGBA bytes; what is transparent is white. */
function centreSquare(bitmap, size) {
  const ratio = size <= 64 ? 1 : 0.875; // as in keras_senet.Preprocessing
  const side = Math.max(1, Math.round(Math.min(bitmap.width, bitmap.height) * ratio));
  const context = new OffscreenCanvas(side, side).getContext("2d", { alpha: false });
  context.fillStyle = "white";
  context.fillRect(0, 0, side, side);
  context.drawImage(bitmap, -Math.floor((bitmap.width - side) / 2), -Math.floor((bitmap.height - side) / 2));
  return { side, pixels: context.getImageData(0, 0, side, side).data };
}

/**
 * Resizes each row of RGBA pixels from `from` to `to` columns, and swaps rows and columns: twice resizes an image.
 *
 * A result is the mean under a triangle that reaches as far as one pixel of the smaller of both images, as in
 * tf.image.resize(antialias=True). Browsers resize in ways of their own.
 */
function resizeRows(pixels, from, to) {
  const rows = pixels.length / (4 * from);
  const result = new Float32Array(rows * to * 4);
  const step = from / to;
  const reach = Math.max(step, 1);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < to; column++) {
      const centre = (column + 0.5) * step - 0.5;
      const first = Math.max(0, Math.ceil(centre - reach));
      const last = Math.min(from - 1, Math.floor(centre + reach));
      const place = (column * rows + row) * 4;
      let total = 0;
      for (let other = first; other <= last; other++) {
        const weight = 1 - Math.abs(other - centre) / reach;
        total += weight;
        for (let channel = 0; channel < 4; channel++) {
          result[place + channel] += weight * pixels[(row * from + other) * 4 + channel];
        }
      }
      for (let channel = 0; channel < 4; channel++) result[place + channel] /= total;
    }
  }
  return result;
}

/** Classifies an image file and shows what came out. */
async function show(file) {
  const { size, labels, run } = await network;
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" }).catch(() => {
    throw new Error(`${file.name} is damaged, or not an image that this browser can read.`);
  });
  const { side, pixels } = centreSquare(bitmap, size);
  const rgba = resizeRows(resizeRows(pixels, side, size), side, size);
  const { probabilities, gates, milliseconds } = await run(rgba.filter((_, index) => index % 4 !== 3));

  const seen = element("seen");
  seen.width = seen.height = size;
  seen.getContext("2d").putImageData(new ImageData(Uint8ClampedArray.from(rgba), size), 0, 0);
  element("size").textContent = `${size} × ${size}`;

  const best = [...labels.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, CLASSES_SHOWN);
  element("classes").replaceChildren(...best.map((index) => bar(labels[index], probabilities[index])));

  element("gates").hidden = !gates;
  if (gates) showGates(gates);

  element("result").hidden = false;
  say(`${file.name}: ${labels[best[0]]}, ${percent(probabilities[best[0]])}, in ${milliseconds.toFixed(1)} ms`);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function bar(name, share) {
  const item = document.createElement("li");
  item.innerHTML = `<span class="name"></span><div class="bar"><div></div></div><span class="share"></span>`;
  item.querySelector(".name").textContent = name;
  item.querySelector(".bar div").style.width = `${100 * share}%`;
  item.querySelector(".share").textContent = percent(share);
  return item;
}

function showGates(gates) {
  const lowest = Math.min(...gates);
  const highest = Math.max(...gates);
  drawStrip(element("strip"), Array.from(gates, (gate) => (gate - lowest) / (highest - lowest || 1)));
  drawStrip(element("scale"), Array.from({ length: 100 }, (_, index) => index / 99));
  element("lowest").textContent = lowest.toFixed(3);
  element("highest").textContent = highest.toFixed(3);
  element("values").textContent = Array.from(gates, (gate) => gate.toFixed(3)).join(" ");
  const about = `${gates.length} channels, from left to right; point at one to read it`;
  element("channel").textContent = about;
  element("strip").onpointermove = ({ offsetX, target }) => {
    const channel = Math.min(gates.length - 1, Math.max(0, Math.floor((offsetX / target.clientWidth) * gates.length)));
    element("channel").textContent = `channel ${channel}: ${gates[channel].toFixed(3)}`;
  };
  element("strip").onpointerleave = () => (element("channel").textContent = about);
}

/** Numbers in [0, 1] side by side, from dark violet over green to bright yellow. */
function drawStrip(canvas, shares) {
  canvas.width = shares.length;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  shares.forEach((share, index) => {
    context.fillStyle = `oklch(${0.3 + 0.6 * share} 0.13 ${290 - 185 * share})`;
    context.fillRect(index, 0, 1, 1);
  });
}

function say(text, isError = false) {
  element("message").textContent = text;
  element("message").classList.toggle("error", isError);
}

function fail(error) {
  element("result").hidden = true;
  say(error.message, true);
}

const network = load();
let turn = network.then(() => say("The network is ready."), fail);

/** Shows files one after the other, so that the last one chosen stays. */
function choose([file]) {
  if (file) turn = turn.then(() => show(file)).catch(fail);
}

element("file").addEventListener("change", ({ target }) => {
  choose(target.files);
  target.value = ""; // the same file can be chosen again
});
for (const type of ["dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") choose(event.dataTransfer.files);
  });
}
