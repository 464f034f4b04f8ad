/**
 * The calls by which workers report what they measure. They are a group of their
 * own, so that a worker that reports need not load what it does not call.
 */
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

export class MetricsRpcs extends RpcGroup.make(
  /** Who wants to know, as a number, as soon as it is not the one that is known; 0 is nobody. */
  Rpc.make("MetricsWanted", { payload: { known: Schema.Natural }, success: Schema.Natural }),
  /** Takes an array of `Series`, as JSON so that its size is known before it is read. Answered when it was taken. */
  Rpc.make("ReportMetrics", { payload: { series: Schema.String, dropped: Schema.Natural } })
) {}
