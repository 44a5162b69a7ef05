// The shaders of the log-mel spectrogram, and the tables that they read.

/** How a spectrogram is cut: what the shaders' `Settings` hold, but for the samples given. */
export interface Cut {
  /** Samples heard; fewer are filled up with silence. */
  readonly length: number;
  readonly hop: number;
  readonly mels: number;
  /** Frequencies of a window, from 0 to half the rate. */
  readonly bins: number;
}

/** Invocations of a workgroup, across frames and down rows. */
export type Workgroup = readonly [number, number];

/**
 * Four passes. An invocation works on four frames at once, and frames lie side by side.
 *
 * A window of N real samples x needs N / 2 + 1 frequencies k. As cosine is even and sine odd, x[n] + x[N - n] and
 * x[n] - x[N - n] halve the sums (`fold`); and as frequency N / 2 - k has the same terms as k with the sign of every
 * second n turned, the sums over even and over odd n give both (`transform`): a quarter of the plain sum's products.
 */
export const SHADERS = /* wgsl */ `
override wide: u32 = 64;
override high: u32 = 1;

struct Settings { samples: u32, length: u32, hop: u32, bins: u32, mels: u32, frames: u32, groups: u32, rows: u32 }

@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) var<storage, read> samples: array<f32>;
@group(0) @binding(2) var<storage, read> hann: array<f32>;
@group(0) @binding(3) var<storage, read> waves: array<vec2f>;
@group(0) @binding(4) var<storage, read> filters: array<f32>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> even: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> odd: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> power: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> bands: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> peak: atomic<u32>;

var<workgroup> loudest: atomic<u32>;

// The recording is mirrored at both ends, where windows reach beyond it.
fn sample(at: i32) -> f32 {
  let last = i32(settings.length) - 1;
  var index = abs(at);
  if (index > last) { index = 2 * last - index; }
  if (index < 0 || index >= i32(settings.samples)) { return 0.0; }
  return samples[index];
}

@compute @workgroup_size(wide, high)
fn fold(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= settings.groups || at.y >= settings.rows) { return; }
  let half = settings.bins - 1u;
  var sums = vec4f();
  var differences = vec4f();
  if (at.y <= half) {
    for (var one = 0u; one < 4u; one++) {
      let frame = 4u * at.x + one;
      if (frame < settings.frames) {
        let start = i32(frame * settings.hop) - i32(half);
        let before = sample(start + i32(at.y));
        var after = 0.0;
        if (at.y > 0u && at.y < half) { after = sample(start + i32(2u * half - at.y)); }
        sums[one] = hann[at.y] * (before + after);
        differences[one] = hann[at.y] * (before - after);
      }
    }
  }
  even[at.y * settings.groups + at.x] = sums;
  odd[at.y * settings.groups + at.x] = differences;
}

@compute @workgroup_size(wide, high)
fn transform(@builtin(global_invocation_id) at: vec3u) {
  let half = settings.bins - 1u;
  let columns = half / 2u + 1u;
  if (at.x >= settings.groups || at.y >= columns) { return; }
  var real = array<vec4f, 2>();
  var imaginary = array<vec4f, 2>();
  for (var row = 0u; row < settings.rows; row += 2u) {
    let first = waves[row * columns + at.y];
    let second = waves[(row + 1u) * columns + at.y];
    let here = row * settings.groups + at.x;
    let next = here + settings.groups;
    real[0] += first.x * even[here];
    imaginary[0] += first.y * odd[here];
    real[1] += second.x * even[next];
    imaginary[1] += second.y * odd[next];
  }
  let a = real[0] + real[1];
  let b = imaginary[0] + imaginary[1];
  let c = real[0] - real[1];
  let d = imaginary[0] - imaginary[1];
  power[at.y * settings.groups + at.x] = a * a + b * b;
  power[(half - at.y) * settings.groups + at.x] = c * c + d * d;
}

@compute @workgroup_size(wide, high)
fn mel(@builtin(global_invocation_id) at: vec3u, @builtin(local_invocation_index) own: u32) {
  if (at.x < settings.groups && at.y < settings.mels) {
    var sum = vec4f();
    for (var bin = spans[at.y].x; bin < spans[at.y].y; bin++) {
      sum += filters[at.y * settings.bins + bin] * power[bin * settings.groups + at.x];
    }
    sum = max(sum, vec4f(1e-10));
    bands[at.y * settings.groups + at.x] = sum;
    // Floats above 0 are in the order of their bits.
    atomicMax(&loudest, bitcast<u32>(max(max(sum.x, sum.y), max(sum.z, sum.w))));
  }
  // One atomic for a workgroup, then one for all: on the shared one alone, all invocations would queue.
  workgroupBarrier();
  if (own == 0u) { atomicMax(&peak, atomicLoad(&loudest)); }
}

@compute @workgroup_size(wide, high)
fn level(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= settings.groups || at.y >= settings.mels) { return; }
  let here = at.y * settings.groups + at.x;
  let decades = 0.30102999566;
  // As in Whisper: at most 8 decades below the peak, then (x + 4) / 4.
  let least = decades * log2(bitcast<f32>(atomicLoad(&peak))) - 8.0;
  bands[here] = (max(decades * log2(bands[here]), vec4f(least)) + 4.0) / 4.0;
}
`;

/** The sizes that follow from a cut. */
export function sizes({ length, hop, bins }: Cut): { frames: number; groups: number; rows: number; columns: number } {
  const frames = Math.floor(length / hop);
  return { frames, groups: Math.ceil(frames / 4), rows: 2 * Math.ceil(bins / 2), columns: Math.floor((bins - 1) / 2) + 1 };
}

/** Return the first half of Hann's window and its middle. */
export function hannWindow(bins: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: bins }, (_, n) => 0.5 - 0.5 * Math.cos((Math.PI * n) / (bins - 1)));
}

/** Return cosine and sine of each sample's turns, by sample and frequency; beyond the middle of a window they are 0. */
export function waveTable(cut: Cut): Float32Array<ArrayBuffer> {
  const { rows, columns } = sizes(cut);
  const window = 2 * (cut.bins - 1);
  const table = new Float32Array(2 * rows * columns);
  for (let n = 0; n < cut.bins; n++)
    for (let k = 0; k < columns; k++) {
      const angle = (2 * Math.PI * ((n * k) % window)) / window;
      table.set([Math.cos(angle), Math.sin(angle)], 2 * (n * columns + k));
    }
  return table;
}

/** Return where each filter's first frequency above 0 is, and where it has ended. */
export function filterSpans(filters: ArrayLike<number>, mels: number, bins: number): Uint32Array<ArrayBuffer> {
  const spans = new Uint32Array(2 * mels);
  for (let mel = 0; mel < mels; mel++) {
    let [first, end] = [bins, 0];
    for (let bin = 0; bin < bins; bin++) if (filters[mel * bins + bin] !== 0) [first, end] = [Math.min(first, bin), bin + 1];
    spans.set([Math.min(first, end), end], 2 * mel);
  }
  return spans;
}
