// Translates by onnxruntime-web beside the page, so that drawing goes on meanwhile.

const LUMA = [0.299, 0.587, 0.114]; // BT.601, as in p2p_graph/data/decode.py
let opened = null; // a promise of { ort, session, by }, which is tried once

addEventListener("message", async ({ data: { model, base, runtimes, values } }) => {
  try {
    opened ??= open(model, base, runtimes);
    const { ort, session, by } = await opened;
    const started = performance.now();
    const outputs = await run(ort, session, model, values);
    const png = await toPng(outputs, model);
    postMessage({ png, milliseconds: performance.now() - started, by });
  } catch (error) {
    postMessage({ error: `The model cannot be run here: ${error.message ?? error}` });
  }
});

async function open(model, base, runtimes) {
  const contents = await readModel(model, base);
  if (await hasGpu()) {
    try {
      const found = await start("webgpu", runtimes.webgpu, model, base, contents);
      // Shaders are compiled here, so that a GPU that cannot run the model is found here, too.
      await run(found.ort, found.session, model, new Float32Array(3 * model.height * model.width));
      return found;
    } catch (error) {
      console.warn(`WebGPU does not run the model, so WebAssembly does: ${error.message ?? error}`);
    }
  }
  return start("wasm", runtimes.wasm, model, base, contents);
}

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  // A fallback adapter computes on the CPU, where WebAssembly is faster.
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

async function readModel({ file, bytes }, base) {
  const answer = await fetch(new URL(file, base), { cache: "no-cache" }); // that of a former export differs
  if (!answer.ok) throw new Error(`${file} is missing`);
  const contents = new Uint8Array(bytes);
  const reader = answer.body.getReader();
  let count = 0;
  let told = -1;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (count + part.value.length > bytes) throw new Error(`${file} is not that of this page`);
    contents.set(part.value, count);
    count += part.value.length;
    const tenths = Math.floor((10 * count) / bytes); // a screen reader would read every text
    if (tenths > told) postMessage({ told: `Loading the model: ${10 * tenths} % of ${(bytes / 1e6).toFixed(0)} MB.` });
    told = tenths;
  }
  if (count < bytes) throw new Error(`${file} is incomplete`);
  return contents;
}

async function start(provider, { script, wasm }, model, base, contents) {
  postMessage({ told: "Starting the model." });
  // The binary is given to onnxruntime-web, which would fetch it itself, without a check.
  const [code, binary] = await Promise.all([script, wasm].map((file) => readChecked(file, base)));
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const ort = await import(address); // not revoked: threads start from it
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? 0 : 1; // 0: as many as it finds fit
  const session = await ort.InferenceSession.create(contents, {
    executionProviders: [provider],
    freeDimensionOverrides: { N: 1, height: model.height, width: model.width },
  });
  return { ort, session, by: { webgpu: "WebGPU", wasm: "WebAssembly" }[provider] };
}

// The browser refuses other bytes than those that the export named.
async function readChecked({ address, integrity }, base) {
  let answer;
  try {
    answer = await fetch(new URL(address, base), { integrity });
  } catch (error) {
    throw new Error(`${address} does not come, or holds other bytes than this page names`);
  }
  if (!answer.ok) throw new Error(`${address} is missing`);
  return answer.arrayBuffer();
}

async function run(ort, session, { height, width, channels }, values) {
  const images = new ort.Tensor("float32", channels[0] === 1 ? toGrey(values) : values, [1, height, width, channels[0]]);
  const { outputs } = await session.run({ images });
  return outputs.data;
}

function toGrey(values) {
  const grey = new Float32Array(values.length / 3);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = LUMA.reduce((sum, weight, channel) => sum + weight * values[3 * i + channel], 0);
  }
  return grey;
}

// As tf.image.convert_image_dtype with saturation, which tools/test.py converts by.
const toByte = (value) => Math.max(0, Math.min(255, Math.trunc(Math.fround(value * 255.5))));

function toPng(outputs, { height, width, channels }) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++) {
      const place = channels[1] === 1 ? i : 3 * i + channel;
      image.data[4 * i + channel] = toByte(outputs[place]);
    }
    image.data[4 * i + 3] = 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
