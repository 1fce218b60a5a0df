"use strict";

/** Makes an element with properties and attributes (names with a hyphen), and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** An image with another over it: a slider shows the other from the left, or both give a difference. */
class Comparison {
  #stage;
  #over;
  #slider;

  /** The image's element (an image, or a link around one) becomes part of the stage, which takes its place. */
  constructor(element) {
    this.#stage = make("div", { className: "stage" });
    element.replaceWith(this.#stage);
    this.#stage.append(element);
    this.#over = make("img", { className: "over", alt: "" });
    this.#slider = make("input", { type: "range", className: "slider", min: 0, max: 100, value: 0 });
    this.#slider.addEventListener("input", () => this.#show());
  }

  /** Puts another image over the first, hidden until the slider moves; null takes it away. */
  setOver(source, overTitle, title) {
    if (source === null) {
      this.#over.remove();
      this.#slider.remove();
      this.#stage.style.removeProperty("--shown");
      return;
    }
    this.#over.src = source;
    if (!this.#over.isConnected) this.#stage.append(this.#over);
    if (!this.#slider.isConnected) this.#stage.after(this.#slider);
    this.#slider.setAttribute("aria-label", `${overTitle} over ${title}`);
    this.#slider.title = `Slide to see the ${overTitle}`;
    this.#overTitle = overTitle;
    this.#show();
  }

  #overTitle = "";

  #show() {
    const share = Number(this.#slider.value);
    this.#slider.setAttribute("aria-valuetext", `${share} % ${this.#overTitle}`);
    if (share) this.#stage.style.setProperty("--shown", `${share}%`);
    else this.#stage.style.removeProperty("--shown");
  }

  get share() {
    return Number(this.#slider.value);
  }

  set share(share) {
    this.#slider.value = share;
    if (this.#over.isConnected) this.#show();
  }
}
