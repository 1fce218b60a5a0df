// Images as numbers: decoded as their files hold them, and scaled as tools/test.py scales.

// An image file (a Blob) as ImageData. Colours are not managed: files hold what models were trained on.
export async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const ink = canvas.getContext("2d", { willReadFrequently: true });
  ink.drawImage(bitmap, 0, 0);
  const image = ink.getImageData(0, 0, bitmap.width, bitmap.height);
  // A canvas has multiplied colours by alpha; models take those of the file.
  let least = 255;
  for (let i = 3; i < image.data.length; i += 4) least = Math.min(least, image.data[i]);
  if (least < 255) readByWebGl(bitmap, image.data);
  bitmap.close();
  return image;
}

// Reads the colours under transparency; where there is no WebGL, `data` stays as it was.
function readByWebGl(bitmap, data) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  const { width, height } = bitmap;
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const bytes = new Uint8Array(data.length);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  if (gl.getError() === gl.NO_ERROR) data.set(bytes);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
}

// ImageData as a PNG file, with the colours under its transparency.
export async function encodePng({ data, width, height }) {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint32(8, 0x08060000); // 8 bits, RGBA
  const rows = new Uint8Array(height * (4 * width + 1)); // a row begins with its filter, 0 for none
  for (let y = 0; y < height; y++) {
    rows.set(data.subarray(4 * width * y, 4 * width * (y + 1)), y * (4 * width + 1) + 1);
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const contents = new Uint8Array(await new Response(packed).arrayBuffer());
  const chunks = [chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", contents), chunk("IEND", [])];
  return new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...chunks], { type: "image/png" });
}

function chunk(name, contents) {
  const made = new Uint8Array(contents.length + 12);
  made.set([...name].map((letter) => letter.charCodeAt(0)), 4);
  made.set(contents, 8);
  const view = new DataView(made.buffer);
  view.setUint32(0, contents.length);
  view.setUint32(contents.length + 8, crc32(made.subarray(4, contents.length + 8)));
  return made;
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// Makes RGBA grey, rounded, as models of one channel take it (p2p_graph/data/decode.py, BT.601).
export function makeGrey(data) {
  for (let i = 0; i < data.length; i += 4) {
    data.fill(Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]), i, i + 3);
  }
}

// RGBA in 0..255 as Float32Array [height, width, channels] in 0..1; of 3 channels, without alpha.
export function toValues(data, channels) {
  const values = new Float32Array((data.length / 4) * channels);
  for (let i = 0, j = 0; i < data.length; i++) {
    if (i % 4 < channels) values[j++] = Math.max(0, Math.min(1, data[i] / 255));
  }
  return values;
}

// The same back, rounded, as ImageData.
export function toImage(values, channels, width, height) {
  const image = new ImageData(width, height);
  for (let i = 0, j = 0; i < image.data.length; i++) {
    image.data[i] = i % 4 < channels ? Math.round(values[j++] * 255) : 255;
  }
  return image;
}

// ImageData scaled, as `toValues`. `how` is "area", "bilinear", "bicubic" or "nearest", as in
// p2p_graph/data/image_pairs.py; all of them scale rows and columns one by one.
export function scale(image, channels, width, height, how) {
  const rows = mix(image.data, spansOf(how, image.width, width), image.height, image.width, 4);
  return toValues(mix(rows, spansOf(how, image.height, height), 1, image.height, width * 4), channels);
}

// Weighted sums along the middle axis of [outer, length, inner].
function mix(values, spans, outer, length, inner) {
  const made = new Float32Array(outer * spans.length * inner);
  let place = 0;
  for (let o = 0; o < outer; o++) {
    for (const { first, weights } of spans) {
      const from = (o * length + first) * inner;
      for (let i = 0; i < inner; i++, place++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * values[from + k * inner + i];
        made[place] = sum;
      }
    }
  }
  return made;
}

// For each pixel of a scaled row the first pixel that it is made of, and the weights of those from there.
function spansOf(how, length, scaled) {
  const step = length / scaled;
  return Array.from({ length: scaled }, (_, x) => {
    const centre = (x + 0.5) * step;
    if (how === "area") return areaSpan(x * step, (x + 1) * step, length);
    if (how === "bilinear") return bilinearSpan(centre - 0.5, length);
    if (how === "bicubic") return bicubicSpan(centre, Math.max(step, 1), length);
    return { first: Math.min(Math.floor(centre), length - 1), weights: [1] };
  });
}

function areaSpan(from, to, length) {
  const first = Math.floor(from);
  const weights = [];
  for (let i = first; i < Math.min(to, length); i++) {
    weights.push((Math.min(i + 1, to) - Math.max(i, from)) / (to - from));
  }
  return { first, weights };
}

function bilinearSpan(place, length) {
  const first = Math.max(0, Math.floor(place));
  const share = place - Math.floor(place);
  return place < 0 || first + 1 >= length ? { first, weights: [1] } : { first, weights: [1 - share, share] };
}

// Keys' kernel with a = -0.5, as wide as the step between pixels.
function bicubicSpan(centre, width, length) {
  const first = Math.max(0, Math.ceil(centre - 2 * width - 0.5));
  const last = Math.min(length - 1, Math.floor(centre + 2 * width - 0.5));
  const weights = [];
  for (let i = first; i <= last; i++) weights.push(keys(Math.abs(i + 0.5 - centre) / width));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return { first, weights: weights.map((weight) => weight / sum) };
}

function keys(x) {
  if (x >= 2) return 0;
  return x >= 1 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : (1.5 * x - 2.5) * x * x + 1;
}
