import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Frames } from "../src/dom";

test("a picture that fails stops no other one", () => {
  const frames: (() => void)[] = [];
  const said = mock.method(console, "error", () => undefined);
  Object.assign(globalThis, { requestAnimationFrame: (draw: () => void) => frames.push(draw) });
  const turn = (): void => {
    for (const draw of frames.splice(0)) {
      draw();
    }
  };
  let drawn = 0;
  const all = new Frames();
  all.add("first", 0, () => {
    throw new Error("no picture");
  });
  all.add("second", 0, () => {
    drawn++;
  });
  turn();
  assert.equal(drawn, 1);
  all.dirty("second");
  turn();
  assert.equal(drawn, 2);
  all.dirty("first", "second");
  turn();
  assert.equal(drawn, 3);
  assert.equal(said.mock.callCount(), 2);
});
