import type { virTypedParameterType } from '../protocol/constants.ts';

type Type = typeof virTypedParameterType;

/** A value of a typed parameter list with its type on the wire, one of `virTypedParameterType`. */
export type TypedValue =
  | { readonly type: Type['VIR_TYPED_PARAM_INT'] | Type['VIR_TYPED_PARAM_UINT']; readonly value: number }
  | { readonly type: Type['VIR_TYPED_PARAM_LLONG'] | Type['VIR_TYPED_PARAM_ULLONG']; readonly value: bigint }
  | { readonly type: Type['VIR_TYPED_PARAM_DOUBLE']; readonly value: number }
  | { readonly type: Type['VIR_TYPED_PARAM_BOOLEAN']; readonly value: boolean }
  | { readonly type: Type['VIR_TYPED_PARAM_STRING']; readonly value: string };

/** One entry of a typed parameter list. */
export interface TypedParameter {
  /** Its name. */
  readonly field: string;
  /** Its value, with its type. */
  readonly value: TypedValue;
}

/** The list by name; where a name occurs twice, the last counts. */
export function typedParameterMap(list: readonly TypedParameter[]): Map<string, TypedValue> {
  return new Map(list.map(({ field, value }) => [field, value]));
}

/** The map as the list that procedures take. */
export function typedParameterList(map: ReadonlyMap<string, TypedValue>): TypedParameter[] {
  return [...map].map(([field, value]) => ({ field, value }));
}
