/**
 * Planning: (policy, model shape, backend) to storage decisions and ops.
 * @module
 */
export { planPolicy } from "./plan.ts";
export { bound, emit, emptyDraft, finish, temp, weight } from "./draft.ts";
export { pyramidLine, pyramidRows } from "./resolve.ts";
export type {
  Draft,
  LayerPlan,
  LayerSlots,
  LearnedForm,
  PlanSource,
  PlanTable,
  PolicyPlan,
  Reconstruction,
  Selected,
  SplicePoint,
  StorePlan,
  StoreSlots,
  Target,
  TransformPlan,
} from "./types.ts";
