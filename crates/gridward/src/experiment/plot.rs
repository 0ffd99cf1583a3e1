//! Plots as SVG, without a library: axes, lines, bars, and a legend that reads
//! on white and on black.

/// Points or a line of one transport.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 46.0;

/// Colours that people who do not tell red from green tell apart (Okabe and
/// Ito).
const COLOURS: [&str; 8] = [
    "#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#999999", "#F0E442",
];

/// How an axis goes.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    pub(super) name: &'a str,
    pub(super) logarithmic: bool,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Axis<'_> {
    /// 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| {
            if self.logarithmic {
                value.max(self.from).log10()
            } else {
                value
            }
        };
        let (from, to) = (scale(self.from), scale(self.to));
        ((scale(value) - from) / (to - from)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.to <= self.from {
            return ticks;
        }
        if self.logarithmic {
            let mut tick = 10_f64.powf(self.from.log10().ceil());
            while tick <= self.to * 1.001 {
                ticks.push(tick);
                tick *= 10.0;
            }
        } else {
            let span = self.to - self.from;
            let power = 10_f64.powf((span / 4.0).log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .map(|factor| factor * power)
                .find(|step| span / step <= 6.0)
                .unwrap_or(span);
            let mut tick = (self.from / step).ceil() * step;
            while tick <= self.to + step / 1e3 {
                ticks.push(tick);
                tick += step;
            }
        }
        ticks
    }
}

fn x(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn y(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

fn number(value: f64) -> String {
    if value >= 1.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Puts one element into the picture.
macro_rules! put {
    ($svg:expr, $($words:tt)*) => {
        $svg.push_str(&format!($($words)*));
        $svg.push('\n');
    };
}

fn head(title: &str) -> String {
    let mut svg = String::new();
    put!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">"
    );
    put!(svg, "<title>{}</title>", escaped(title));
    put!(
        svg,
        "<style>.i{{fill:#222}}.g{{stroke:#8886}}@media(prefers-color-scheme:dark){{.i{{fill:#ddd}}}}</style>"
    );
    put!(
        svg,
        "<text class=\"i\" x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"600\">{}</text>",
        escaped(title)
    );
    svg
}

fn axes(svg: &mut String, across: Axis<'_>, up: Axis<'_>) {
    for tick in across.ticks() {
        let at = x(across.place(tick));
        put!(
            svg,
            "<line class=\"g\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            y(0.0),
            y(1.0)
        );
        put!(
            svg,
            "<text class=\"i\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            y(0.0) + 16.0,
            number(tick)
        );
    }
    for tick in up.ticks() {
        let at = y(up.place(tick));
        put!(
            svg,
            "<line class=\"g\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
            x(0.0),
            x(1.0)
        );
        put!(
            svg,
            "<text class=\"i\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            number(tick)
        );
    }
    put!(
        svg,
        "<text class=\"i\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        x(0.5),
        HEIGHT - 10.0,
        escaped(across.name)
    );
    put!(
        svg,
        "<text class=\"i\" x=\"16\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {:.1})\">{}</text>",
        y(0.5),
        y(0.5),
        escaped(up.name)
    );
}

fn colour(place: usize) -> &'static str {
    COLOURS
        .get(place % COLOURS.len())
        .copied()
        .unwrap_or("#000")
}

fn legend(svg: &mut String, names: impl Iterator<Item = String>) {
    let mut at = LEFT;
    for (place, name) in names.enumerate() {
        put!(
            svg,
            "<rect x=\"{at:.1}\" y=\"26\" width=\"10\" height=\"10\" fill=\"{}\"/>",
            colour(place)
        );
        put!(
            svg,
            "<text class=\"i\" x=\"{:.1}\" y=\"35\" font-size=\"11\">{}</text>",
            at + 14.0,
            escaped(&name)
        );
        let letters = u32::try_from(name.chars().count()).unwrap_or(0);
        at += 26.0 + 6.0 * f64::from(letters);
    }
}

/// Lines, or single points.
pub(super) fn lines(
    title: &str,
    across: Axis<'_>,
    up: Axis<'_>,
    series: &[Series],
    dots: bool,
) -> String {
    let mut svg = head(title);
    axes(&mut svg, across, up);
    legend(&mut svg, series.iter().map(|one| one.name.clone()));
    for (place, one) in series.iter().enumerate() {
        let colour = colour(place);
        let mut path = String::new();
        for (across_value, up_value) in &one.points {
            let (at_x, at_y) = (x(across.place(*across_value)), y(up.place(*up_value)));
            if dots {
                put!(
                    svg,
                    "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"1.8\" fill=\"{colour}\"/>"
                );
            } else {
                let letter = if path.is_empty() { 'M' } else { 'L' };
                path.push_str(&format!("{letter}{at_x:.1} {at_y:.1}"));
            }
        }
        if !path.is_empty() {
            put!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// How many per cent took at most how long, one line each.
pub(super) fn distribution(title: &str, series: &[(String, Vec<f64>)]) -> String {
    distribution_beside(title, series, &[])
}

/// The same beside single figures of others, as dashed lines with their names.
pub(super) fn distribution_beside(
    title: &str,
    series: &[(String, Vec<f64>)],
    others: &[(String, f64)],
) -> String {
    let most = series
        .iter()
        .filter_map(|(_, latencies)| latencies.last().copied())
        .chain(others.iter().map(|(_, figure)| *figure))
        .fold(10.0, f64::max);
    let across = Axis {
        name: "latency, ms",
        logarithmic: true,
        from: 0.1,
        to: 10_f64.powf(most.log10().ceil()),
    };
    let up = Axis {
        name: "messages delivered by then, %",
        logarithmic: false,
        from: 0.0,
        to: 100.0,
    };
    let lines_of = |latencies: &[f64]| {
        let all = f64::from(u32::try_from(latencies.len()).unwrap_or(u32::MAX));
        // Some hundred points draw the same line as all of them.
        let step = (latencies.len() / 400).max(1);
        let ranks = (0..latencies.len())
            .filter(|rank| rank.is_multiple_of(step) || latencies.len() - rank < 40);
        ranks
            .filter_map(|rank| {
                let share = f64::from(u32::try_from(rank + 1).ok()?) * 100.0 / all;
                Some((*latencies.get(rank)?, share))
            })
            .collect()
    };
    let series: Vec<Series> = series
        .iter()
        .map(|(name, latencies)| Series {
            name: name.clone(),
            points: lines_of(latencies),
        })
        .collect();
    let svg = lines(title, across, up, &series, false);
    let mut svg = svg.trim_end().trim_end_matches("</svg>").to_owned();
    // Names stand left of all of them.
    let first = others.iter().map(|(_, figure)| *figure);
    let names_at = x(across.place(first.fold(f64::INFINITY, f64::min))) - 5.0;
    for ((name, figure), place) in others.iter().zip(1_u8..) {
        let at = x(across.place(*figure));
        put!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#888\" \
             stroke-width=\"1.5\" stroke-dasharray=\"5 4\"/>",
            y(0.0),
            y(1.0)
        );
        put!(
            svg,
            "<text class=\"i\" x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"end\">{}</text>",
            names_at,
            y(0.0) - 14.0 * f64::from(place),
            escaped(name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bars in groups: `groups` have a name and a value for each of `names`.
pub(super) fn bars(
    title: &str,
    unit: &str,
    names: &[String],
    groups: &[(String, Vec<Option<f64>>)],
) -> String {
    let mut svg = head(title);
    let values = groups
        .iter()
        .flat_map(|(_, values)| values.iter().flatten());
    let most = values.copied().fold(0.0, f64::max).max(1e-9);
    let up = Axis {
        name: unit,
        logarithmic: false,
        from: 0.0,
        to: most * 1.05,
    };
    let none = Axis {
        name: "",
        logarithmic: false,
        from: 0.0,
        to: 0.0,
    };
    let count = f64::from(u32::try_from(groups.len().max(1)).unwrap_or(1));
    axes(&mut svg, none, up);
    legend(&mut svg, names.iter().cloned());
    let mut from = 0.0;
    for (name, values) in groups {
        let width = 1.0 / count;
        let bars = f64::from(u32::try_from(values.len().max(1)).unwrap_or(1));
        let mut at = from + width * 0.1;
        for (place, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let top = y(up.place(*value));
                put!(
                    svg,
                    "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                    x(at),
                    (x(1.0) - x(0.0)) * width * 0.8 / bars * 0.92,
                    y(0.0) - top,
                    colour(place)
                );
            }
            at += width * 0.8 / bars;
        }
        put!(
            svg,
            "<text class=\"i\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(from + width / 2.0),
            y(0.0) + 16.0,
            escaped(name)
        );
        from += width;
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement; that it draws was looked at.
    use super::*;

    #[test]
    fn values_are_where_their_axis_says() {
        let log = Axis {
            name: "",
            logarithmic: true,
            from: 1.0,
            to: 1_000.0,
        };
        assert!((log.place(10.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(log.place(0.0), 0.0);
        assert_eq!(log.place(5_000.0), 1.0);
        assert_eq!(log.ticks().len(), 4);
        let plain = Axis {
            name: "",
            logarithmic: false,
            from: 0.0,
            to: 100.0,
        };
        assert_eq!(plain.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    }

    #[test]
    fn names_do_not_break_the_picture() {
        let svg = bars(
            "a < b",
            "ms",
            &["x & y".to_owned()],
            &[("g".to_owned(), vec![Some(1.0)])],
        );
        assert!(svg.contains("a &lt; b") && svg.contains("x &amp; y"));
        let svg = distribution("t", &[("one".to_owned(), vec![1.0, 2.0, 3.0])]);
        assert!(svg.contains("<path") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN"));
        let beside = distribution_beside(
            "t",
            &[("one".to_owned(), vec![1.0, 2.0, 3.0])],
            &[("quoted & old".to_owned(), 32.8)],
        );
        assert!(beside.contains("quoted &amp; old") && beside.contains("stroke-dasharray"));
        assert_eq!(beside.matches("</svg>").count(), 1);
    }
}
