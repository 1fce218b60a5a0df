// Translation while an input changes: the newest input wins, and no other one waits.

export class Translator {
  #isBusy = false;
  #next = null;

  // `translate` is that of service.js; `show` gets what it gives, `fail` a text, both the model, too.
  constructor(translate, show, fail) {
    this.translate = translate;
    this.show = show;
    this.fail = fail;
  }

  // `input` is read when its turn comes; `tell` gets texts while it takes long.
  request(model, seed, input, tell) {
    this.#next = [model, seed, input, tell];
    if (!this.#isBusy) this.#run();
  }

  // What waits is not translated any more.
  drop() {
    this.#next = null;
  }

  async #run() {
    this.#isBusy = true;
    while (this.#next) {
      const request = this.#next;
      this.#next = null;
      try {
        this.show(await this.translate(...request), request[0]);
      } catch (error) {
        this.fail(error.message, request[0]);
      }
    }
    this.#isBusy = false;
  }
}
