// SPDX-License-Identifier: Apache-2.0

// The type of a dashboard's JSON, made of the types that Grafana publishes.
// Grafana's types allow any options and fields in a panel. Here, a panel's type
// decides which it may have, so that a misspelt option is an error.

import type * as schema from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as gauge from '@grafana/schema/dist/esm/raw/composable/gauge/panelcfg/x/GaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// Json is T with the values of enums in place of their names.
type Json<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends readonly (infer U)[]
      ? Json<U>[]
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;

// Query is Prometheus'; its type is not among those published.
interface Query extends Omit<schema.DataQuery, 'datasource'> {
  datasource: Source;
  editorMode: 'code' | 'builder';
  expr: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant: boolean;
  legendFormat: string;
  range: boolean;
}

interface Source {
  type: 'prometheus';
  uid: '${DS_PROMETHEUS}';
}

// Transformation is of those of @grafana/data that are used.
type Transformation =
  | { id: 'merge'; options: Record<string, never> }
  | { id: 'organize'; options: { excludeByName: Record<string, boolean>; renameByName: Record<string, string> } };

type Field = Json<Omit<schema.FieldConfig, 'custom'>>;

// Property is one setting of the fields that an override matches.
type Property<Custom> =
  | { [K in keyof Field]-?: { id: K; value: Field[K] } }[keyof Field]
  | { [K in keyof Custom & string]-?: { id: `custom.${K}`; value: Custom[K] } }[keyof Custom & string];

interface Of<Type, Options, Custom>
  extends Omit<Json<schema.Panel>, 'type' | 'datasource' | 'options' | 'fieldConfig' | 'targets' | 'transformations'> {
  id: number;
  type: Type;
  title: string;
  description: string;
  gridPos: Json<schema.Panel>['gridPos'];
  datasource: Source;
  options: Json<Options>;
  fieldConfig: {
    defaults: Field & { custom?: Json<Custom> };
    overrides: {
      matcher: { id: 'byFrameRefID'; options: string };
      properties: Property<Json<Custom>>[];
    }[];
  };
  targets: Query[];
  transformations?: Transformation[];
}

type Row = Omit<Json<schema.RowPanel>, 'panels'> & { panels: [] };

type Panel =
  | Row
  | Of<'bargauge', bargauge.Options, never>
  | Of<'gauge', gauge.Options, never>
  | Of<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Of<'stat', stat.Options, never>
  | Of<'table', table.Options, table.FieldConfig>
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>;

// Required is what Grafana's own export says of the plugins it takes.
interface Required {
  id: string;
  name: string;
  type: 'grafana' | 'datasource' | 'panel';
  version: string;
}

export type Dashboard = Omit<Json<schema.Dashboard>, 'panels'> & { __requires: Required[]; panels: Panel[] };
