//! Settings, as the library's session options.

use std::path::Path;

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{
    ArbitrarilyConfigurableExecutionProvider, ArenaExtendStrategy, CPU, CUDA, ExecutionProvider,
    TensorRT,
};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::failure::Failure;
use super::library::Runtime;
use super::options::{Arena, ConvSearch, Cuda, Optimization, Options, Profile, Provider, TensorRt};

/// Where a TensorRT engine is kept, and what it is calibrated with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'a> {
    /// The folder.
    pub(super) folder: &'a Path,
    /// Name of the calibration table in it.
    pub(super) table: Option<&'a str>,
}

/// Threads of a run on the processor.
pub(super) fn threads(options: &Options) -> usize {
    match options.threads {
        // Asked for the default, the library would also pin its threads to processors, every session to the same.
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => usize::from(threads),
    }
}

/// Session options without any provider.
pub(super) fn builder(runtime: &Runtime, options: &Options) -> Result<SessionBuilder, Failure> {
    let threads = threads(options);
    // `Level3` is refused by libraries up to 1.22; `All` is taken by every one.
    let level = match options.optimization {
        Optimization::None => GraphOptimizationLevel::Disable,
        Optimization::Basic => GraphOptimizationLevel::Level1,
        Optimization::Extended => GraphOptimizationLevel::Level2,
        Optimization::All => GraphOptimizationLevel::All,
    };
    let inter_threads = usize::from(options.inter_threads);
    let builder = Session::builder(&runtime.environment)?
        .with_optimization_level(level)?
        .with_intra_threads(threads)?
        .with_inter_threads(inter_threads)?
        .with_parallel_execution(inter_threads > 1)?
        .with_intra_op_spinning(options.spinning)?
        .with_inter_op_spinning(options.spinning)?;
    if options.providers.contains(&Provider::Cpu) {
        Ok(builder)
    } else {
        Ok(builder.with_disable_cpu_fallback()?)
    }
}

/// Whether the opened library was built with `provider`.
pub(super) fn is_built_in(provider: Provider) -> bool {
    let built_in = match provider {
        Provider::Tensorrt => TensorRT::is_available(),
        Provider::Cuda => CUDA::is_available(),
        Provider::Cpu => CPU::is_available(),
    };
    built_in.unwrap_or(false)
}

/// Adds `provider` to the session options.
pub(super) fn register(
    builder: &mut SessionBuilder,
    provider: Provider,
    options: &Options,
    kept: Option<Kept<'_>>,
) -> Result<(), Failure> {
    let device = i32::from(options.device);
    match provider {
        Provider::Tensorrt => tensorrt(&options.tensorrt, device, kept).register(builder),
        Provider::Cuda => cuda(&options.cuda, device).register(builder),
        Provider::Cpu => CPU::default().with_arena_allocator(options.arena).register(builder),
    }
}

fn tensorrt(options: &TensorRt, device: i32, kept: Option<Kept<'_>>) -> TensorRT {
    let mut provider = TensorRT::default()
        .with_device_id(device)
        .with_fp16(options.fp16)
        .with_int8(options.int8)
        .with_cuda_graph(options.cuda_graph)
        .with_builder_optimization_level(options.optimization_level);
    if let Ok(bytes @ 1..) = usize::try_from(options.workspace_bytes) {
        provider = provider.with_max_workspace_size(bytes);
    }
    if let Some(core) = options.dla_core {
        provider = provider.with_dla(true).with_dla_core(u32::from(core));
    }
    if let Some(Kept { folder, table }) = kept {
        let folder = folder.display();
        provider = provider
            .with_engine_cache(options.engine_cache)
            .with_engine_cache_path(&folder)
            .with_timing_cache(options.timing_cache)
            .with_timing_cache_path(&folder);
        if let Some(table) = table {
            provider = provider
                .with_int8_calibration_table_name(table)
                .with_int8_use_native_calibration_table(options.native_calibration);
        }
    }
    if !options.profiles.is_empty() {
        provider = provider
            .with_profile_min_shapes(shapes(&options.profiles, |profile| &profile.min))
            .with_profile_opt_shapes(shapes(&options.profiles, |profile| &profile.opt))
            .with_profile_max_shapes(shapes(&options.profiles, |profile| &profile.max));
    }
    provider
}

fn cuda(options: &Cuda, device: i32) -> CUDA {
    let provider = CUDA::default()
        .with_device_id(device)
        .with_arena_extend_strategy(match options.arena {
            Arena::Doubling => ArenaExtendStrategy::NextPowerOfTwo,
            Arena::AsRequested => ArenaExtendStrategy::SameAsRequested,
        })
        .with_conv_algorithm_search(match options.conv_search {
            ConvSearch::Exhaustive => ConvAlgorithmSearch::Exhaustive,
            ConvSearch::Heuristic => ConvAlgorithmSearch::Heuristic,
            ConvSearch::Default => ConvAlgorithmSearch::Default,
        })
        .with_cuda_graph(options.cuda_graph)
        .with_arbitrary_config("use_tf32", if options.tf32 { "1" } else { "0" });
    match usize::try_from(options.memory_limit_bytes) {
        Ok(bytes @ 1..) => provider.with_memory_limit(bytes),
        _ => provider,
    }
}

/// `input:1x3x640x640,other:1x2`
pub(super) fn shapes(profiles: &[Profile], of: impl Fn(&Profile) -> &Vec<u32>) -> String {
    let one = |profile: &Profile| {
        let extents: Vec<String> = of(profile).iter().map(u32::to_string).collect();
        format!("{}:{}", profile.input, extents.join("x"))
    };
    profiles.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_written_as_the_library_reads_it() {
        let profile = |input: &str, opt: &[u32]| Profile {
            input: input.to_owned(),
            min: vec![],
            opt: opt.to_vec(),
            max: vec![],
        };
        let profiles = [profile("images", &[4, 3, 640, 640]), profile("sizes", &[4, 2])];
        assert_eq!(shapes(&profiles, |profile| &profile.opt), "images:4x3x640x640,sizes:4x2");
    }
}
