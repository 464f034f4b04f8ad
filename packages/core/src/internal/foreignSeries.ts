/**
 * Which series of a registry are somebody else's: what was merged into it is not
 * reported as one's own. Known by how they are read.
 */
export const foreignSeries = /* @__PURE__ */ new WeakSet<object>()
