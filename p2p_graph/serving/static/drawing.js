// A drawing whose pixels are numbers of a palette's colours: no pixel ever has a colour between two.

export class Drawing {
  constructor(width, height, colours, ground) {
    this.width = width;
    this.height = height;
    this.colours = colours; // of [red, green, blue]
    this.ground = ground; // the number of what an eraser leaves
    this.pixels = new Uint8Array(width * height).fill(ground);
  }

  at(x, y) {
    return this.pixels[y * this.width + x];
  }

  clear() {
    this.pixels.fill(this.ground);
  }

  // A disc of a diameter; 1 is a pixel.
  dot(x, y, diameter, colour) {
    const radius = diameter / 2;
    const reach = Math.ceil(radius);
    for (let v = -reach; v <= reach; v++) {
      for (let u = -reach; u <= reach; u++) {
        if (u * u + v * v <= (radius - 0.5) * (radius - 0.5) + 0.25) this.#set(x + u, y + v, colour);
      }
    }
  }

  line(x, y, toX, toY, diameter, colour) {
    const steps = Math.max(Math.abs(toX - x), Math.abs(toY - y), 1);
    for (let i = 0; i <= steps; i++) {
      const share = i / steps;
      this.dot(Math.round(x + (toX - x) * share), Math.round(y + (toY - y) * share), diameter, colour);
    }
  }

  rectangle(x, y, toX, toY, colour) {
    for (let v = Math.min(y, toY); v <= Math.max(y, toY); v++) {
      for (let u = Math.min(x, toX); u <= Math.max(x, toX); u++) this.#set(u, v, colour);
    }
  }

  fill(x, y, colour) {
    const former = this.at(x, y);
    if (former === colour) return;
    const waiting = [[x, y]];
    while (waiting.length) {
      const [u, v] = waiting.pop();
      if (u < 0 || v < 0 || u >= this.width || v >= this.height || this.at(u, v) !== former) continue;
      this.#set(u, v, colour);
      waiting.push([u + 1, v], [u - 1, v], [u, v + 1], [u, v - 1]);
    }
  }

  toImage() {
    const image = new ImageData(this.width, this.height);
    // Four bytes at once: every stroke waits for this.
    const packed = this.colours.map((rgb) => new Uint32Array(Uint8Array.of(...rgb, 255).buffer)[0]);
    const whole = new Uint32Array(image.data.buffer);
    for (let i = 0; i < whole.length; i++) whole[i] = packed[this.pixels[i]];
    return image;
  }

  // Each pixel gets the nearest colour.
  fromImage(image) {
    for (let i = 0; i < this.pixels.length; i++) {
      const [red, green, blue] = image.data.subarray(4 * i, 4 * i + 3);
      let least = Infinity;
      this.colours.forEach(([r, g, b], number) => {
        const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
        if (distance < least) {
          least = distance;
          this.pixels[i] = number;
        }
      });
    }
  }

  #set(x, y, colour) {
    if (x >= 0 && y >= 0 && x < this.width && y < this.height) this.pixels[y * this.width + x] = colour;
  }
}

// What can be undone, and undone again.
export class History {
  #steps = [];
  #place = -1;

  constructor(most = 50) {
    this.most = most;
  }

  reset(state) {
    this.#steps = [state.slice()];
    this.#place = 0;
  }

  add(state) {
    this.#steps = this.#steps.slice(Math.max(0, this.#place - this.most + 1), this.#place + 1);
    this.#steps.push(state.slice());
    this.#place = this.#steps.length - 1;
  }

  get canUndo() {
    return this.#place > 0;
  }

  get canRedo() {
    return this.#place < this.#steps.length - 1;
  }

  undo() {
    return this.#steps[--this.#place];
  }

  redo() {
    return this.#steps[++this.#place];
  }
}
