/**
 * Draws one dashboard: its JSON and the frames of its queries, both in `window.shown`, by Grafana's own components.
 *
 * Field config (units, thresholds, mappings, overrides, names) is applied by @grafana/data, panels are those of
 * @grafana/ui. What is ours, because Grafana's is in no npm package: the grid, the header, and the few lines that hand
 * a panel's options to its component, which in Grafana are the panel plugins'.
 */
import {
  applyFieldOverrides,
  createTheme,
  dateTime,
  FieldConfigOptionsRegistry,
  getFieldDisplayValues,
  identityOverrideProcessor,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  ThemeContext,
  toDataFrame,
  VizOrientation,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, PanelContextProvider, Table, TimeSeries, VizRepeater } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';

declare global {
  interface Window {
    shown: { dashboard: any; frames: Record<string, any[]>; from: number; to: number; variables: string[] };
    drawn: boolean;
  }
}

const CELL = { width: 1600 / 24, height: 38, gap: 8 };
const STANDARD = ['unit', 'decimals', 'min', 'max', 'displayName', 'noValue', 'thresholds', 'mappings', 'color', 'links'];
const CUSTOM = [
  ...['drawStyle', 'fillOpacity', 'lineWidth', 'showPoints', 'pointSize', 'stacking', 'spanNulls', 'lineInterpolation'],
  ...['thresholdsStyle', 'axisPlacement', 'axisSoftMax', 'cellOptions', 'align', 'width'],
];

const theme = createTheme({ colors: { mode: 'light' } });
const item = (id: string, path: string, isCustom: boolean): any => ({
  id,
  path,
  isCustom,
  name: id,
  process: identityOverrideProcessor,
  shouldApply: () => true,
  override: () => null,
  editor: () => null,
});
const items = () => [
  ...STANDARD.map((id) => item(id, id, false)),
  ...CUSTOM.map((id) => item(`custom.${id}`, id, true)),
];
standardEditorsRegistry.setInit(() => []);
standardFieldConfigEditorRegistry.setInit(items);
const registry = new FieldConfigOptionsRegistry(items);

const { dashboard, frames, from, to, variables } = window.shown;
const timeRange = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
const replace = (text: string) => text;

function prepared(panel: any) {
  const data = applyFieldOverrides({
    data: frames[panel.id].map((frame) => toDataFrame(frame)),
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: replace,
    theme,
    timeZone: 'utc',
  });
  for (const field of data.flatMap((frame) => frame.fields)) {
    // In Grafana its template service does this, which is in no package.
    field.config.displayName = field.config.displayName?.replace(
      /\$\{__field\.labels\.(\w+)\}/g,
      (_, name) => field.labels?.[name] ?? ''
    );
  }
  return data;
}

function values(panel: any, data: any[]) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: replace,
    theme,
    data,
    sparkline: false,
    percentChange: panel.options.showPercentChange,
    timeZone: 'utc',
  });
}

function Inside({ panel, width, height }: { panel: any; width: number; height: number }) {
  const data = prepared(panel);
  switch (panel.type) {
    case 'stat': {
      const [found] = values(panel, data);
      const display = { ...found.display, title: undefined };
      return (
        <BigValue
          value={display as any}
          width={width}
          height={height}
          theme={theme}
          colorMode={panel.options.colorMode}
          graphMode={panel.options.graphMode}
          justifyMode={panel.options.justifyMode}
          textMode={panel.options.textMode}
          percentChangeColorMode={panel.options.percentChangeColorMode}
        />
      );
    }
    case 'bargauge':
      return (
        <VizRepeater
          getValues={() => values(panel, data)}
          source={data}
          renderCounter={0}
          width={width}
          height={height}
          orientation={VizOrientation.Horizontal}
          itemSpacing={8}
          minVizHeight={16}
          maxVizHeight={36}
          getAlignmentFactors={() => ({
            title: values(panel, data).reduce((longest, v) => (v.display.title!.length > longest.length ? v.display.title! : longest), ''),
            text: '0000',
          })}
          renderValue={({ value, alignmentFactors, width, height }: any) => (
            <BarGauge
              value={value.display}
              field={value.field}
              display={value.display}
              alignmentFactors={alignmentFactors}
              width={width}
              height={height}
              theme={theme}
              orientation={VizOrientation.Horizontal}
              displayMode={panel.options.displayMode}
              valueDisplayMode={panel.options.valueMode}
              namePlacement={panel.options.namePlacement}
              showUnfilled={panel.options.showUnfilled}
              itemSpacing={8}
              lcdCellWidth={8}
              text={{}}
            />
          )}
        />
      );
    case 'table':
      return <Table data={data[0]} width={width} height={height} columnMinWidth={80} cellHeight={panel.options.cellHeight} />;
    case 'timeseries':
      return (
        <TimeSeries
          frames={data}
          structureRev={1}
          timeRange={timeRange as any}
          timeZone={['utc'] as any}
          width={width}
          height={height}
          legend={panel.options.legend}
          options={panel.options}
        />
      );
    default:
      throw new Error(`nobody draws a ${panel.type}`);
  }
}

function Box({ panel }: { panel: any }) {
  const { x, y, w, h } = panel.gridPos;
  const place: React.CSSProperties = {
    position: 'absolute',
    left: x * CELL.width + CELL.gap / 2,
    top: y * CELL.height + CELL.gap / 2,
  };
  const width = w * CELL.width - CELL.gap;
  const height = h * CELL.height - CELL.gap;
  if (panel.type === 'row') {
    return <div style={{ ...place, ...theme.typography.h5, paddingTop: 6 } as any}>{panel.title}</div>;
  }
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={width} height={height}>
        {(innerWidth, innerHeight) => <Inside panel={panel} width={innerWidth} height={innerHeight} />}
      </PanelChrome>
    </div>
  );
}

function Page() {
  const bottom = Math.max(...dashboard.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h)) * CELL.height;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ eventsScope: 'picture', eventBus: { publish() {}, subscribe: () => ({ unsubscribe() {} }), getStream: () => ({ subscribe: () => ({ unsubscribe() {} }), pipe: () => ({ subscribe: () => ({ unsubscribe() {} }) }) }) } } as any}>
        <div style={{ padding: '12px 12px 4px', display: 'flex', gap: 24, alignItems: 'baseline' }}>
          <span style={{ ...(theme.typography.h2 as any) }}>{dashboard.title}</span>
          {variables.map((text) => (
            <span key={text} style={{ color: theme.colors.text.secondary }}>{text}</span>
          ))}
        </div>
        <div style={{ position: 'relative', height: bottom + 8, width: 1600 }}>
          {dashboard.panels.map((panel: any) => (
            <Box key={panel.id} panel={panel} />
          ))}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
}

document.body.style.margin = '0';
document.body.style.background = theme.colors.background.canvas;
createRoot(document.getElementById('root')!).render(<Page />);
