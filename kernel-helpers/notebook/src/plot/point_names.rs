//! Names beside scattered points, each where it covers nothing.

use super::canvas::{Area, MARKER_RADIUS, Point, Rect, segment};
use super::style::{AXIS, INK, NOTE_SIZE, pt};
use super::text::Text;
use base::Result;

/// The names of points, placed.
pub(super) struct PointNames {
    placed: Vec<PlacedName>,
    /// Whether there was no room for some.
    pub left_out: bool,
}

struct PlacedName {
    text: Text,
    rect: Rect,
    point: Point,
    /// Whether the name stands so far off that a line leads to it.
    far: bool,
}

/// What names must not cover: points close together along the series and the lines for comparison.
pub(super) struct Obstacles {
    pub series: Vec<Point>,
    pub references: Vec<Point>,
}

/// More names than this are not tried: a figure has no room for them.
const MOST: usize = 300;

/// From a point to its name, in points; the first that is free is taken.
const DISTANCES: [f64; 6] = [5.0, 11.0, 18.0, 28.0, 40.0, 54.0];

/// Where the name lies as seen from the point: right, left, above, below, and between.
const DIRECTIONS: [Point; 12] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (0.75, -0.75),
    (0.75, 0.75),
    (-0.75, -0.75),
    (-0.75, 0.75),
    (0.3, -1.0),
    (0.3, 1.0),
    (-0.3, -1.0),
    (-0.3, 1.0),
];

impl PointNames {
    /// Places the names of points inside `inner`, off what is there and off each other: first those that have room
    /// beside their point, then the others, as near as can be.
    pub fn place<'a>(
        names: impl Iterator<Item = (&'a str, Point)>,
        inner: Rect,
        obstacles: &Obstacles,
    ) -> PointNames {
        let mut names = names.filter(|(name, _)| !name.is_empty());
        let mut waiting: Vec<_> =
            names.by_ref().take(MOST).map(|(name, point)| (Text::new(name, NOTE_SIZE), point)).collect();
        let left_out = names.next().is_some();
        let mut placed: Vec<PlacedName> = Vec::new();
        for distance in DISTANCES {
            waiting.retain(|(text, point)| {
                let candidates = DIRECTIONS.iter().map(|direction| PlacedName {
                    text: text.clone(),
                    rect: rect_beside(*point, text, pt(distance), *direction),
                    point: *point,
                    far: distance > DISTANCES[0],
                });
                let free = candidates.into_iter().find(|name| name.is_free(inner, obstacles, &placed));
                let waits = free.is_none();
                placed.extend(free);
                waits
            });
        }
        PointNames { placed, left_out: left_out || !waiting.is_empty() }
    }

    /// Points close together over all names.
    pub fn occupied(&self) -> Vec<Point> {
        let points = |rect: Rect| {
            let steps = (rect.width() / pt(3.0)).ceil().max(1.0);
            let across = (0..=steps as usize).map(move |i| rect.left + rect.width() * i as f64 / steps);
            across.flat_map(move |x| [(x, rect.top), (x, rect.center().1), (x, rect.bottom)])
        };
        self.placed.iter().flat_map(|name| points(name.rect)).collect()
    }

    pub fn draw(&self, area: &Area) -> Result<()> {
        for name in &self.placed {
            if let [from, .., to] = name.leader()[..] {
                segment(area, from, to, 0.5, AXIS)?;
            }
            name.text.draw(area, name.rect.center(), (0.5, 0.5), INK)?;
        }
        Ok(())
    }
}

impl PlacedName {
    /// Points close together on the line from the marker's edge to the name; none where the name is beside the marker.
    fn leader(&self) -> Vec<Point> {
        let (from, rect) = (self.point, self.rect.grown(pt(1.0)));
        let to = (from.0.clamp(rect.left, rect.right), from.1.clamp(rect.top, rect.bottom));
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let start = pt(MARKER_RADIUS + 0.5);
        if !self.far || length <= start {
            return Vec::new();
        }
        let steps = ((length - start) / pt(1.0)).ceil();
        let along = (0..=steps as usize).map(|i| (start + (length - start) * i as f64 / steps) / length);
        along.map(|t| (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1))).collect()
    }

    /// Whether neither the name nor its line meets what is there already.
    fn is_free(&self, inner: Rect, obstacles: &Obstacles, placed: &[PlacedName]) -> bool {
        let rect = self.rect;
        let covers = |points: &[Point], clearance: f64| {
            let around = rect.grown(pt(clearance));
            points.iter().any(|&at| around.contains(at))
        };
        if !inner.contains((rect.left, rect.top))
            || !inner.contains((rect.right, rect.bottom))
            || covers(&obstacles.series, MARKER_RADIUS + 1.0)
            || covers(&obstacles.references, 1.0)
        {
            return false;
        }
        let leader = self.leader();
        // Without a line to its point, a name belongs to the nearest one.
        let own = distance(&rect, self.point);
        if !self.far && obstacles.series.iter().any(|&at| at != self.point && distance(&rect, at) < own) {
            return false;
        }
        let near = |a: &Point, b: &Point| (a.0 - b.0).hypot(a.1 - b.1) < pt(MARKER_RADIUS);
        let meets_marker = || {
            // The point itself is where the line starts.
            let others = obstacles.series.iter().filter(|at| !near(at, &self.point));
            others.into_iter().any(|other| leader.iter().any(|at| near(at, other)))
        };
        let meets = |other: &PlacedName| {
            let room = other.rect.grown(pt(1.5));
            let lines = other.leader();
            room.overlaps(&rect)
                || leader.iter().any(|&at| room.contains(at))
                || lines.iter().any(|&at| rect.grown(pt(1.5)).contains(at))
                || lines.iter().any(|a| leader.iter().any(|b| near(a, b)))
        };
        !placed.iter().any(meets) && !meets_marker()
    }
}

/// From a rectangle to a point outside.
fn distance(rect: &Rect, (x, y): Point) -> f64 {
    (x - x.clamp(rect.left, rect.right)).hypot(y - y.clamp(rect.top, rect.bottom))
}

/// The text's place at a distance from the point.
fn rect_beside(point: Point, text: &Text, distance: f64, (dx, dy): Point) -> Rect {
    let (width, height) = (text.width(), pt(0.8 * NOTE_SIZE));
    // From the point to the near edge, and from there half of the text, or none of it where it is centered.
    let center = (
        point.0 + dx * distance + dx.signum() * f64::from(dx != 0.0) * 0.5 * width,
        point.1 + dy * distance + dy.signum() * f64::from(dy != 0.0) * 0.5 * height,
    );
    Rect {
        left: center.0 - 0.5 * width,
        top: center.1 - 0.5 * height,
        right: center.0 + 0.5 * width,
        bottom: center.1 + 0.5 * height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Rect = Rect { left: 0.0, top: 0.0, right: 3000.0, bottom: 1400.0 };

    fn place(name: &str, points: &[Point]) -> PointNames {
        let obstacles = Obstacles { series: points.to_vec(), references: Vec::new() };
        PointNames::place(points.iter().map(|&point| (name, point)), INNER, &obstacles)
    }

    #[test]
    fn names_cover_neither_points_nor_each_other() {
        let points: Vec<Point> = (0..30).map(|i| (1200.0 + 30.0 * f64::from(i), 700.0)).collect();
        let names = place("4 bits", &points);
        assert!(names.placed.len() >= 10);
        for (index, name) in names.placed.iter().enumerate() {
            assert!(!points.iter().any(|&point| name.rect.contains(point)));
            assert!(!names.placed[..index].iter().any(|other| other.rect.overlaps(&name.rect)));
        }
        assert_eq!(names.left_out, names.placed.len() < points.len());
        let close: Vec<Point> = points.iter().map(|(x, y)| (1500.0 + 0.01 * x, *y)).collect();
        assert!(place("4 bits", &close).left_out, "thirty names have no room about one place");
    }

    #[test]
    fn a_name_at_the_edge_stays_inside() {
        let corners = [(0.0, 0.0), (3000.0, 0.0), (3000.0, 1400.0), (0.0, 1400.0)];
        let names = place("global, 4 bits", &corners);
        assert!(!names.left_out);
        assert!(names.placed.iter().all(|name| {
            INNER.contains((name.rect.left, name.rect.top))
                && INNER.contains((name.rect.right, name.rect.bottom))
        }));
    }
}
