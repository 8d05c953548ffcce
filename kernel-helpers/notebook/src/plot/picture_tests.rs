//! What is on the pictures: colors where they must be, ticks, text forms, errors.

use super::color_scale::ColorScale;
use super::figure::tests::decode;
use super::style::{AXIS, Style};
use super::*;
use base::Result;
use candle_core::{DType, Device, Tensor};
use plotters::style::RGBColor;

/// The pixels of a figure.
struct Picture {
    width: usize,
    rgb: Vec<u8>,
}

impl Picture {
    fn of(figure: &Figure) -> Self {
        let (info, rgb) = decode(figure);
        Picture { width: info.width as usize, rgb }
    }

    fn height(&self) -> usize {
        self.rgb.len() / 3 / self.width
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        self.rgb[3 * (y * self.width + x)..][..3].try_into().unwrap()
    }

    fn places(&self, color: RGBColor) -> Vec<(usize, usize)> {
        let RGBColor(r, g, b) = color;
        let all = (0..self.height()).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        all.filter(|&(x, y)| self.at(x, y) == [r, g, b]).collect()
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        self.at(x, y).iter().all(|channel| *channel < 0x90)
    }

    /// The row of the horizontal axis: the one with the most of an axis' color.
    fn axis_row(&self) -> usize {
        let mut counts = vec![0; self.height()];
        self.places(AXIS).iter().for_each(|place| counts[place.1] += 1);
        (0..counts.len()).max_by_key(|row| counts[*row]).unwrap()
    }

    /// Where dark runs of a row begin and end, right of `from`.
    fn dark_runs(&self, row: usize, from: usize) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for x in (from..self.width).filter(|&x| self.is_dark(x, row)) {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == x => run.1 = x,
                _ => runs.push((x, x)),
            }
        }
        runs
    }
}

fn error(figure: Result<Figure>) -> String {
    figure.unwrap_err().to_string()
}

#[test]
fn every_decade_has_its_tick_and_label_on_the_picture() {
    // One point in each of seven decades, at its power of ten.
    let points: Vec<(f64, f64)> = (-3..=3).map(|i| (10_f64.powi(i), f64::from(i + 10))).collect();
    for plot in [LinePlot::new().points("", &points), LinePlot::new().scatter("", &points)] {
        let picture = Picture::of(&plot.log_x().draw().unwrap());
        let axis = picture.axis_row();
        // Only the ticks of whole decades reach so far down.
        let ticks = picture.dark_runs(axis + 9, 100);
        assert_eq!(ticks.len(), 7, "{ticks:?}");
        let gaps: Vec<_> = ticks.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().all(|gap| gap.abs_diff(gaps[0]) <= 1), "{gaps:?}");
        let color = Style::of(0).color;
        let markers = picture.places(color);
        for (left, right) in ticks {
            let near = |x: usize| (left.saturating_sub(12)..=right + 12).contains(&x);
            let label = (axis + 14..axis + 50).flat_map(|y| (left - 12..=right + 12).map(move |x| (x, y)));
            assert!(label.into_iter().any(|(x, y)| picture.is_dark(x, y)), "no label at {left}");
            assert!(markers.iter().any(|place| near(place.0)), "no point at {left}");
        }
        let between = picture.dark_runs(axis + 4, 100).len();
        assert!(between >= 7 + 6 * 8, "ticks within the decades: {between}");
    }
}

#[test]
fn a_scatter_plot_has_a_marker_for_each_point_and_no_line() {
    let points = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)];
    let figure = LinePlot::new().scatter("runs", &points).draw().unwrap();
    let places = Picture::of(&figure).places(Style::of(0).color);
    let columns = |x: usize| x / 40;
    let mut seen: Vec<_> = places.iter().map(|place| columns(place.0)).collect();
    seen.sort_unstable();
    seen.dedup();
    // Three points and the legend's; each may lie in two columns.
    assert!((4..=8).contains(&seen.len()), "{seen:?}");
    assert!(figure.alt().ends_with("runs: (1, 1), (2, 3), (3, 2)"), "{}", figure.alt());
}

#[test]
fn scattered_points_are_told_by_name_or_by_their_range() {
    let named = LinePlot::new().scatter_named("a", &[("4 bits", 136e3, 90.8)]).x_label("size").y_label("%");
    assert_eq!(named.draw().unwrap().alt(), "% against size. a: 4 bits (136000, 90.8)");
    let many: Vec<(f64, f64)> = (1..=500).map(|i| (f64::from(i), 1.0 / f64::from(i))).collect();
    let figure = LinePlot::new().scatter("a", &many).draw().unwrap();
    assert!(figure.alt().contains("a: 500 points, x from 1 to 500, y from 0.002 to 1"), "{}", figure.alt());
}

#[test]
fn points_that_have_no_place_are_an_error() {
    let scatter = |points: &[(f64, f64)]| LinePlot::new().scatter("runs", points);
    let line = |points: &[(f64, f64)]| LinePlot::new().points("loss", points);
    let cases = [
        (scatter(&[]), "the points of `runs`: expected at least one, found none"),
        (scatter(&[(1.0, f64::NAN)]), "the points of `runs`: expected finite numbers, found (1, NaN)"),
        (
            scatter(&[(0.0, 1.0)]).log_x(),
            "x of `runs`: expected numbers above 0, for the axis is logarithmic, found 0",
        ),
        (
            scatter(&[(1.0, -2.0)]).log_y(),
            "y of `runs`: expected numbers above 0, for the axis is logarithmic, found -2",
        ),
        (
            line(&[(-1.0, 1.0)]).log_x(),
            "x of `loss`: expected numbers above 0, for the axis is logarithmic, found -1",
        ),
    ];
    for (plot, expected) in cases {
        assert_eq!(error(plot.draw()), expected);
    }
}

#[test]
fn a_heat_map_has_each_cell_and_all_of_the_scale_in_its_color() {
    let values = [[0.0, 25.0, 50.0], [75.0, 100.0, 12.5]];
    let figure = HeatMap::new(&values).unwrap().value_label("share").draw().unwrap();
    let picture = Picture::of(&figure);
    let scale = ColorScale::new(0.0..=100.0);
    let center = |value: f64| {
        let places: Vec<_> =
            picture.places(scale.color(value)).into_iter().filter(|at| at.0 < 1300).collect();
        assert!(places.len() > 20_000, "{value}: {} pixels", places.len());
        let sum = places.iter().fold((0, 0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
        (sum.0 / places.len(), sum.1 / places.len())
    };
    let places = values.map(|row| row.map(center));
    for row in places {
        assert!(row.windows(2).all(|pair| pair[0].0 + 200 < pair[1].0 && pair[0].1.abs_diff(pair[1].1) < 5));
    }
    assert!((0..3).all(|column| places[0][column].1 + 100 < places[1][column].1), "{places:?}");
    for value in 0..=100 {
        let bar = picture.places(scale.color(f64::from(value)));
        assert!(bar.iter().any(|place| place.0 > 1300), "{value} is not on the scale");
    }
    assert!(figure.alt().starts_with("2 rows, 3 columns: share from 0 (0, 0) to 100 (1, 1)."));
    assert!(figure.alt().contains("75.0  100.0  12.5"), "{}", figure.alt());
}

#[test]
fn a_heat_map_is_made_of_tensors_and_of_rows_and_refuses_others() {
    let tensor = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
    let of_tensor = HeatMap::new(&tensor).unwrap();
    assert_eq!(of_tensor, HeatMap::new(&vec![vec![1.0, 2.0], vec![3.0, 4.0]]).unwrap());
    let refused = |matrix: Result<HeatMap>| matrix.unwrap_err().to_string();
    let vector = tensor.flatten_all().unwrap();
    assert_eq!(refused(HeatMap::new(&vector)), "the matrix: expected a shape [rows, columns], found [4]");
    let empty: [Vec<f64>; 0] = [];
    assert!(refused(HeatMap::new(&empty)).contains("at least one row"));
    assert_eq!(
        refused(HeatMap::new(&[vec![1.0], vec![1.0, 2.0]])),
        "row 1 of the matrix: expected 1 values, as in row 0, found 2"
    );
    assert_eq!(
        refused(HeatMap::new(&[[1.0, f64::NAN]])),
        "row 0, column 1 of the matrix: expected a finite number, found NaN"
    );
    assert_eq!(
        error(of_tensor.clone().row_names(["a"]).draw()),
        "the row names: expected 2, one for each row, found 1"
    );
    assert!(error(of_tensor.range(1.0..=1.0).draw()).contains("range"));
}

#[test]
fn a_confusion_matrix_counts_and_tells_each_class() {
    let device = Device::Cpu;
    let labels = Tensor::new(&[0u32, 0, 0, 0, 1, 1], &device).unwrap();
    let predictions = Tensor::new(&[0i64, 0, 1, 1, 1, 1], &device).unwrap();
    let matrix = ConfusionMatrix::new(&labels, &predictions, &["cat", "dog", "frog"]).unwrap();
    let of_slices =
        ConfusionMatrix::new(&[0, 0, 0, 0, 1, 1], &vec![0u8, 0, 1, 1, 1, 1], &["cat", "dog", "frog"]);
    assert_eq!(matrix, of_slices.unwrap());
    assert_eq!([matrix.count(0, 0), matrix.count(0, 1), matrix.count(1, 0)], [2, 2, 0]);
    assert_eq!([0, 1, 2].map(|class| matrix.accuracy_of(class)), [Some(0.5), Some(1.0), None]);
    let expected = "\
class        images  right  accuracy  mostly taken for
-----------  ------  -----  --------  ----------------
cat               4      2   50.00 %  dog (2)
dog               2      2  100.00 %
frog              0      0         –
all classes       6      4   66.67 %
";
    assert_eq!(matrix.to_string(), expected);
    let figure = matrix.title("Test images").draw().unwrap();
    assert!(figure.alt().starts_with("Test images. Confusion matrix, accuracy 66.67 %.\n"));
    let picture = Picture::of(&figure);
    let scale = ColorScale::new(0.0..=100.0);
    for share in [50.0, 100.0] {
        assert!(picture.places(scale.color(share)).len() > 5_000, "{share}");
    }
}

#[test]
fn a_confusion_matrix_refuses_what_are_no_classes() {
    let refused = |matrix: Result<ConfusionMatrix>| matrix.unwrap_err().to_string();
    let classes = ["cat", "dog"];
    let none: [u32; 0] = [];
    assert_eq!(
        refused(ConfusionMatrix::new(&none, &none, &classes)),
        "labels: expected at least one, found none"
    );
    assert_eq!(
        refused(ConfusionMatrix::new(&[0, 1], &[0], &classes)),
        "predictions: expected 2, one for each label, found 1"
    );
    assert_eq!(
        refused(ConfusionMatrix::new(&[0, 1], &[0, 2], &classes)),
        "predictions[1]: expected less than 2, the number of classes, found 2"
    );
    assert_eq!(
        refused(ConfusionMatrix::new(&[0, -1], &[0, 1], &classes)),
        "a class number: expected 0 or more, found -1"
    );
    let logits = Tensor::zeros((2, 10), DType::F32, &Device::Cpu).unwrap();
    assert!(refused(ConfusionMatrix::new(&[0, 1], &logits, &classes)).contains("argmax(1)"));
}

#[test]
fn images_are_enlarged_pixel_by_pixel() {
    // Red, green, blue, white.
    let values = [1f32, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    let image = Tensor::from_slice(&values, (1, 3, 2, 2), &Device::Cpu).unwrap();
    let bytes = (&image * 255.0).unwrap().to_dtype(DType::U8).unwrap();
    let plot = ImagePlot::new(&image).unwrap().titles(["one"]);
    assert_eq!(plot, ImagePlot::new(&bytes).unwrap().titles(["one"]));
    let picture = Picture::of(&plot.draw().unwrap());
    let colors = [RGBColor(255, 0, 0), RGBColor(0, 255, 0), RGBColor(0, 0, 255)];
    let [red, green, blue] = colors.map(|color| {
        let places = picture.places(color);
        let (left, top) = (places.iter().map(|at| at.0).min(), places.iter().map(|at| at.1).min());
        let side = places.len().isqrt();
        assert_eq!(side * side, places.len(), "a square without shades at its edges");
        (left.unwrap(), top.unwrap(), side)
    });
    assert!(red.2 >= 150 && red.2 == green.2 && red.2 == blue.2);
    assert_eq!((green.0, green.1), (red.0 + red.2, red.1));
    assert_eq!((blue.0, blue.1), (red.0, red.1 + red.2));
}

/// Images with titles, as those of a data set have.
struct Animals;

impl ImageSource for Animals {
    fn count(&self) -> Result<usize> {
        Ok(5)
    }

    fn select(&self, indices: &[usize]) -> Result<Tensor> {
        Ok(Tensor::rand(0f32, 1f32, (indices.len(), 3, 32, 32), &Device::Cpu)?)
    }

    fn title(&self, index: usize) -> Option<String> {
        ["cat", "deer", "dog", "frog", "horse"].get(index).map(|name| (*name).to_owned())
    }
}

#[test]
fn gray_images_and_those_of_a_data_set_are_shown() {
    let digits = Tensor::rand(0f32, 1f32, (128, 1, 28, 28), &Device::Cpu).unwrap();
    let figure = ImagePlot::new(&digits).unwrap().draw().unwrap();
    assert_eq!(figure.alt(), "60 images of 28 x 28 pixels (the first 60 of 128 images)");
    let [r, g, b] = Picture::of(&figure).at(100, 100);
    assert!(r == g && g == b);
    let plot = ImagePlot::choose(&Animals, [3, 4]).unwrap();
    assert_eq!(plot.draw().unwrap().alt(), "2 images of 32 x 32 pixels: frog, horse");
    let plot = plot.titles(["frog (frog)", "horse (deer)"]).title("Some").note("quick");
    assert_eq!(
        plot.draw().unwrap().alt(),
        "Some. 2 images of 32 x 32 pixels (quick): frog (frog), horse (deer)"
    );
}

#[test]
fn stretched_images_reach_from_black_to_white() {
    let image = Tensor::from_slice(&[-2f32, 0.0, 2.0, 6.0], (1, 1, 2, 2), &Device::Cpu).unwrap();
    let figure = ImagePlot::stretched(&image).unwrap().draw().unwrap();
    assert!(figure.alt().contains("black is -2.000, white is 6.000"), "{}", figure.alt());
    let picture = Picture::of(&figure);
    for gray in [0, 64, 128, 255] {
        assert!(picture.places(RGBColor(gray, gray, gray)).len() > 20_000, "{gray}");
    }
}

#[test]
fn what_are_no_images_is_an_error() {
    let device = Device::Cpu;
    let refused = |plot: Result<ImagePlot>| plot.unwrap_err().to_string();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &device).unwrap();
    for shape in [&[2, 28, 28][..], &[1, 2, 4, 4], &[1, 3, 0, 4]] {
        let message = refused(ImagePlot::new(&zeros(shape)));
        assert!(message.contains("[N, C, H, W]") && message.contains(&format!("{shape:?}")), "{message}");
    }
    assert!(refused(ImagePlot::new(&zeros(&[0, 1, 4, 4]))).contains("found 0"));
    let image = zeros(&[2, 1, 4, 4]);
    assert_eq!(
        refused(ImagePlot::choose(&image, [2])),
        "the place of an image: expected less than 2, found 2"
    );
    let normalized = (&image - 2.0).unwrap();
    assert_eq!(
        refused(ImagePlot::new(&normalized)),
        "the images: expected values from 0 to 1, or `ImagePlot::stretched`, found -2.000 to -2.000"
    );
    let nan = (&image * f64::NAN).unwrap();
    assert!(refused(ImagePlot::new(&nan)).contains("finite"));
    let titles = ImagePlot::new(&image).unwrap().titles(["one"]);
    assert_eq!(error(titles.draw()), "the titles: expected 2, one for each image shown, found 1");
}

#[test]
fn all_kinds_stand_in_one_figure() {
    let matrix = ConfusionMatrix::new(&[0, 1], &[0, 0], &["cat", "dog"]).unwrap();
    let image = Tensor::rand(0f32, 1f32, (4, 3, 8, 8), &Device::Cpu).unwrap();
    let figure = Grid::new(2)
        .panel(LinePlot::new().scatter("points", &[(1.0, 10.0)]).log_x().log_y())
        .panel(HeatMap::new(&[[1.0, 2.0]]).unwrap())
        .panel(matrix)
        .panel(ImagePlot::new(&image).unwrap())
        .title("All")
        .note("quick")
        .draw()
        .unwrap();
    for part in ["All\n", "points: (1, 10)", "1 rows, 2 columns", "accuracy 50.00 %", "4 images of 8 x 8"] {
        assert!(figure.alt().contains(part), "{part} in {}", figure.alt());
    }
}
