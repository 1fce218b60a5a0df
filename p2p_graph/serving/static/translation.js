// Translation while an input changes: the newest input wins, and no other one waits.

export class Translator {
  #isBusy = false;
  #next = null;

  // `translate` is that of service.js; `show` gets what it gives, `fail` a text, both `of`, too.
  constructor(translate, show, fail) {
    this.translate = translate;
    this.show = show;
    this.fail = fail;
  }

  // `input` is read when its turn comes; `tell` gets texts while it takes long.
  request(of, model, seed, input, tell) {
    this.#next = [of, model, seed, input, tell];
    if (!this.#isBusy) this.#run();
  }

  // What waits is not translated any more.
  drop() {
    this.#next = null;
  }

  async #run() {
    this.#isBusy = true;
    while (this.#next) {
      const [of, ...request] = this.#next;
      this.#next = null;
      try {
        this.show(await this.translate(...request), of);
      } catch (error) {
        this.fail(error.message, of);
      }
    }
    this.#isBusy = false;
  }
}
