#map = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d4, d2 * 2 + d5, d3 * 2 + d6)>
#map1 = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d1, d4, d5, d6)>
#map2 = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d1, d2, d3)>
#map3 = affine_map<(d0) -> (d0)>
#map4 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map5 = affine_map<(d0, d1, d2, d3) -> (d1, 0, 0)>
#map6 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d1 + d4, d2 + d5)>
#map7 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d3, d4, d5)>
#map8 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d1, d2)>
#map9 = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1, d5, d3 + d6, d4 + d7)>
#map10 = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d1, d2, d5, d6, d7)>
#map11 = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1, d2, d3, d4)>
#map12 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2 * 2 + d4, d3 * 2 + d5)>
#map13 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d4, d5)>
#map14 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2, d3)>
#map15 = affine_map<(d0, d1, d2, d3) -> (d0, d1)>
#map16 = affine_map<(d0, d1) -> (d0, d1)>
#map17 = affine_map<(d0, d1, d2) -> (d0, d2)>
#map18 = affine_map<(d0, d1, d2) -> (d2, d1)>
#map19 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map20 = affine_map<(d0, d1) -> (d1)>
"builtin.module"() ({
  "func.func"() <{function_type = (tensor<?x3x?x?xf32>) -> tensor<?x10xf32>, sym_name = "main"}> ({
  ^bb0(%arg0: tensor<?x3x?x?xf32>):
    %0 = "arith.constant"() <{value = 1 : i64}> : () -> i64
    %1 = "arith.constant"() <{value = 2 : i64}> : () -> i64
    %2 = "arith.constant"() <{value = 0 : index}> : () -> index
    %3 = "arith.constant"() <{value = 3 : index}> : () -> index
    %4 = "arith.constant"() <{value = 2 : index}> : () -> index
    %5 = "arith.constant"() <{value = 0.000000e+00 : f32}> : () -> f32
    %6 = "arith.constant"() <{value = 1.000000e+00 : f32}> : () -> f32
    %7 = "arith.constant"() <{value = 0xFF800000 : f32}> : () -> f32
    %8 = "arith.constant"() <{value = dense_resource<torch_tensor_10_torch.float32> : tensor<10xf32>}> : () -> tensor<10xf32>
    %9 = "arith.constant"() <{value = dense_resource<torch_tensor_10_16_torch.float32> : tensor<10x16xf32>}> : () -> tensor<10x16xf32>
    %10 = "arith.constant"() <{value = dense_resource<torch_tensor_16_torch.float32> : tensor<16xf32>}> : () -> tensor<16xf32>
    %11 = "arith.constant"() <{value = dense_resource<torch_tensor_16_4_1_1_torch.float32> : tensor<16x4x1x1xf32>}> : () -> tensor<16x4x1x1xf32>
    %12 = "arith.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_4> : tensor<8xf32>}> : () -> tensor<8xf32>
    %13 = "arith.constant"() <{value = dense_resource<torch_tensor_8_1_3_3_torch.float32> : tensor<8x1x3x3xf32>}> : () -> tensor<8x1x3x3xf32>
    %14 = "arith.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_3> : tensor<8xf32>}> : () -> tensor<8xf32>
    %15 = "arith.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_2> : tensor<8xf32>}> : () -> tensor<8xf32>
    %16 = "arith.constant"() <{value = 1.000000e-05 : f64}> : () -> f64
    %17 = "arith.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_1> : tensor<8xf32>}> : () -> tensor<8xf32>
    %18 = "arith.constant"() <{value = dense_resource<torch_tensor_8_torch.float32> : tensor<8xf32>}> : () -> tensor<8xf32>
    %19 = "arith.constant"() <{value = dense_resource<torch_tensor_8_3_3_3_torch.float32> : tensor<8x3x3x3xf32>}> : () -> tensor<8x3x3x3xf32>
    %20 = "arith.constant"() <{value = -1 : i64}> : () -> i64
    %21 = "tensor.dim"(%arg0, %2) : (tensor<?x3x?x?xf32>, index) -> index
    %22 = "tensor.dim"(%arg0, %4) : (tensor<?x3x?x?xf32>, index) -> index
    %23 = "tensor.dim"(%arg0, %3) : (tensor<?x3x?x?xf32>, index) -> index
    %24 = "tensor.pad"(%arg0) <{operandSegmentSizes = array<i32: 1, 0, 0>, static_high = array<i64: 0, 0, 1, 1>, static_low = array<i64: 0, 0, 1, 1>}> ({
    ^bb0(%arg64: index, %arg65: index, %arg66: index, %arg67: index):
      "tensor.yield"(%5) : (f32) -> ()
    }) : (tensor<?x3x?x?xf32>) -> tensor<?x3x?x?xf32>
    %25 = "arith.index_cast"(%22) : (index) -> i64
    %26 = "arith.addi"(%25, %20) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %27 = "arith.floordivsi"(%26, %1) : (i64, i64) -> i64
    %28 = "arith.addi"(%27, %0) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %29 = "arith.index_cast"(%28) : (i64) -> index
    %30 = "arith.index_cast"(%23) : (index) -> i64
    %31 = "arith.addi"(%30, %20) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %32 = "arith.floordivsi"(%31, %1) : (i64, i64) -> i64
    %33 = "arith.addi"(%32, %0) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %34 = "arith.index_cast"(%33) : (i64) -> index
    %35 = "tensor.empty"(%21, %29, %34) : (index, index, index) -> tensor<?x8x?x?xf32>
    %36 = "linalg.fill"(%5, %35) <{operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg62: f32, %arg63: f32):
      "linalg.yield"(%arg62) : (f32) -> ()
    }) : (f32, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %37 = "linalg.conv_2d_nchw_fchw"(%24, %19, %36) <{dilations = dense<1> : vector<2xi64>, operandSegmentSizes = array<i32: 2, 1>, strides = dense<2> : vector<2xi64>}> ({
    ^bb0(%arg59: f32, %arg60: f32, %arg61: f32):
      %109 = "arith.mulf"(%arg59, %arg60) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      %110 = "arith.addf"(%arg61, %109) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%110) : (f32) -> ()
    }) {linalg.memoized_indexing_maps = [#map, #map1, #map2]} : (tensor<?x3x?x?xf32>, tensor<8x3x3x3xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %38 = "tensor.empty"() : () -> tensor<8xf32>
    %39 = "linalg.generic"(%17, %38) <{indexing_maps = [#map3, #map3], iterator_types = [#linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg57: f32, %arg58: f32):
      %107 = "arith.truncf"(%16) : (f64) -> f32
      %108 = "arith.addf"(%arg57, %107) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%108) : (f32) -> ()
    }) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %40 = "linalg.generic"(%39, %38) <{indexing_maps = [#map3, #map3], iterator_types = [#linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg55: f32, %arg56: f32):
      %106 = "math.sqrt"(%arg55) <{fastmath = #arith.fastmath<none>}> : (f32) -> f32
      "linalg.yield"(%106) : (f32) -> ()
    }) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %41 = "linalg.generic"(%40, %38) <{indexing_maps = [#map3, #map3], iterator_types = [#linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg53: f32, %arg54: f32):
      %104 = "arith.cmpf"(%arg53, %5) <{fastmath = #arith.fastmath<none>, predicate = 6 : i64}> : (f32, f32) -> i1
      "cf.assert"(%104) <{msg = "unimplemented: tensor with zero element"}> : (i1) -> ()
      %105 = "arith.divf"(%6, %arg53) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%105) : (f32) -> ()
    }) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %42 = "tensor.expand_shape"(%18) <{reassociation = [[0, 1, 2]], static_output_shape = array<i64: 8, 1, 1>}> : (tensor<8xf32>) -> tensor<8x1x1xf32>
    %43 = "tensor.expand_shape"(%41) <{reassociation = [[0, 1, 2]], static_output_shape = array<i64: 8, 1, 1>}> : (tensor<8xf32>) -> tensor<8x1x1xf32>
    %44 = "linalg.generic"(%37, %42, %35) <{indexing_maps = [#map4, #map5, #map4], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg50: f32, %arg51: f32, %arg52: f32):
      %103 = "arith.subf"(%arg50, %arg51) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%103) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>, tensor<8x1x1xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %45 = "linalg.generic"(%44, %43, %35) <{indexing_maps = [#map4, #map5, #map4], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg47: f32, %arg48: f32, %arg49: f32):
      %102 = "arith.mulf"(%arg47, %arg48) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%102) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>, tensor<8x1x1xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %46 = "tensor.expand_shape"(%15) <{reassociation = [[0, 1, 2]], static_output_shape = array<i64: 8, 1, 1>}> : (tensor<8xf32>) -> tensor<8x1x1xf32>
    %47 = "linalg.generic"(%45, %46, %35) <{indexing_maps = [#map4, #map5, #map4], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg44: f32, %arg45: f32, %arg46: f32):
      %101 = "arith.mulf"(%arg44, %arg45) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%101) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>, tensor<8x1x1xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %48 = "tensor.expand_shape"(%14) <{reassociation = [[0, 1, 2]], static_output_shape = array<i64: 8, 1, 1>}> : (tensor<8xf32>) -> tensor<8x1x1xf32>
    %49 = "linalg.generic"(%47, %48, %35) <{indexing_maps = [#map4, #map5, #map4], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg41: f32, %arg42: f32, %arg43: f32):
      %100 = "arith.addf"(%arg41, %arg42) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%100) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>, tensor<8x1x1xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %50 = "linalg.generic"(%49, %35) <{indexing_maps = [#map4, #map4], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg39: f32, %arg40: f32):
      %98 = "arith.cmpf"(%arg39, %5) <{fastmath = #arith.fastmath<none>, predicate = 9 : i64}> : (f32, f32) -> i1
      %99 = "arith.select"(%98, %arg39, %5) : (i1, f32, f32) -> f32
      "linalg.yield"(%99) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %51 = "tensor.pad"(%50) <{operandSegmentSizes = array<i32: 1, 0, 0>, static_high = array<i64: 0, 0, 1, 1>, static_low = array<i64: 0, 0, 1, 1>}> ({
    ^bb0(%arg35: index, %arg36: index, %arg37: index, %arg38: index):
      "tensor.yield"(%5) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %52 = "linalg.broadcast"(%12, %35) <{dimensions = array<i64: 0, 2, 3>}> ({
    ^bb0(%arg33: f32, %arg34: f32):
      "linalg.yield"(%arg33) : (f32) -> ()
    }) : (tensor<8xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %53 = "tensor.collapse_shape"(%13) <{reassociation = [[0, 1], [2], [3]]}> : (tensor<8x1x3x3xf32>) -> tensor<8x3x3xf32>
    %54 = "linalg.depthwise_conv_2d_nchw_chw"(%51, %53, %52) <{dilations = dense<1> : vector<2xi64>, operandSegmentSizes = array<i32: 2, 1>, strides = dense<1> : vector<2xi64>}> ({
    ^bb0(%arg30: f32, %arg31: f32, %arg32: f32):
      %96 = "arith.mulf"(%arg30, %arg31) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      %97 = "arith.addf"(%arg32, %96) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%97) : (f32) -> ()
    }) {linalg.memoized_indexing_maps = [#map6, #map7, #map8]} : (tensor<?x8x?x?xf32>, tensor<8x3x3xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %55 = "linalg.generic"(%50, %54, %35) <{indexing_maps = [#map4, #map4, #map4], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg27: f32, %arg28: f32, %arg29: f32):
      %95 = "arith.addf"(%arg27, %arg28) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%95) : (f32) -> ()
    }) : (tensor<?x8x?x?xf32>, tensor<?x8x?x?xf32>, tensor<?x8x?x?xf32>) -> tensor<?x8x?x?xf32>
    %56 = "tensor.empty"(%21, %29, %34) : (index, index, index) -> tensor<?x16x?x?xf32>
    %57 = "linalg.broadcast"(%10, %56) <{dimensions = array<i64: 0, 2, 3>}> ({
    ^bb0(%arg25: f32, %arg26: f32):
      "linalg.yield"(%arg25) : (f32) -> ()
    }) : (tensor<16xf32>, tensor<?x16x?x?xf32>) -> tensor<?x16x?x?xf32>
    %58 = "tensor.expand_shape"(%55, %21, %29, %34) <{reassociation = [[0], [1, 2], [3], [4]], static_output_shape = array<i64: -9223372036854775808, 2, 4, -9223372036854775808, -9223372036854775808>}> : (tensor<?x8x?x?xf32>, index, index, index) -> tensor<?x2x4x?x?xf32>
    %59 = "tensor.expand_shape"(%11) <{reassociation = [[0, 1], [2], [3], [4]], static_output_shape = array<i64: 2, 8, 4, 1, 1>}> : (tensor<16x4x1x1xf32>) -> tensor<2x8x4x1x1xf32>
    %60 = "tensor.expand_shape"(%57, %21, %29, %34) <{reassociation = [[0], [1, 2], [3], [4]], static_output_shape = array<i64: -9223372036854775808, 2, 8, -9223372036854775808, -9223372036854775808>}> : (tensor<?x16x?x?xf32>, index, index, index) -> tensor<?x2x8x?x?xf32>
    %61 = "linalg.conv_2d_ngchw_gfchw"(%58, %59, %60) <{dilations = dense<1> : vector<2xi64>, operandSegmentSizes = array<i32: 2, 1>, strides = dense<1> : vector<2xi64>}> ({
    ^bb0(%arg22: f32, %arg23: f32, %arg24: f32):
      %93 = "arith.mulf"(%arg22, %arg23) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      %94 = "arith.addf"(%arg24, %93) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%94) : (f32) -> ()
    }) {linalg.memoized_indexing_maps = [#map9, #map10, #map11]} : (tensor<?x2x4x?x?xf32>, tensor<2x8x4x1x1xf32>, tensor<?x2x8x?x?xf32>) -> tensor<?x2x8x?x?xf32>
    %62 = "tensor.collapse_shape"(%61) <{reassociation = [[0], [1, 2], [3], [4]]}> : (tensor<?x2x8x?x?xf32>) -> tensor<?x16x?x?xf32>
    %63 = "arith.addi"(%32, %20) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %64 = "arith.floordivsi"(%63, %1) : (i64, i64) -> i64
    %65 = "arith.addi"(%64, %0) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %66 = "arith.index_cast"(%65) : (i64) -> index
    %67 = "arith.addi"(%27, %20) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %68 = "arith.floordivsi"(%67, %1) : (i64, i64) -> i64
    %69 = "arith.addi"(%68, %0) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %70 = "arith.index_cast"(%69) : (i64) -> index
    %71 = "tensor.empty"(%21, %70, %66) : (index, index, index) -> tensor<?x16x?x?xf32>
    %72 = "linalg.fill"(%7, %71) <{operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg20: f32, %arg21: f32):
      "linalg.yield"(%arg20) : (f32) -> ()
    }) : (f32, tensor<?x16x?x?xf32>) -> tensor<?x16x?x?xf32>
    %73 = "tensor.empty"() : () -> tensor<2x2xf32>
    %74 = "linalg.pooling_nchw_max"(%62, %73, %72) <{dilations = dense<1> : vector<2xi64>, operandSegmentSizes = array<i32: 2, 1>, strides = dense<2> : vector<2xi64>}> ({
    ^bb0(%arg17: f32, %arg18: f32, %arg19: f32):
      %92 = "arith.maximumf"(%arg19, %arg17) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%92) : (f32) -> ()
    }) {linalg.memoized_indexing_maps = [#map12, #map13, #map14]} : (tensor<?x16x?x?xf32>, tensor<2x2xf32>, tensor<?x16x?x?xf32>) -> tensor<?x16x?x?xf32>
    %75 = "tensor.empty"(%21) : (index) -> tensor<?x16xf32>
    %76 = "linalg.fill"(%5, %75) <{operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg15: f32, %arg16: f32):
      "linalg.yield"(%arg15) : (f32) -> ()
    }) : (f32, tensor<?x16xf32>) -> tensor<?x16xf32>
    %77 = "linalg.generic"(%74, %76) <{indexing_maps = [#map4, #map15], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>, #linalg.iterator_type<reduction>, #linalg.iterator_type<reduction>], operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg13: f32, %arg14: f32):
      %91 = "arith.addf"(%arg13, %arg14) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%91) : (f32) -> ()
    }) : (tensor<?x16x?x?xf32>, tensor<?x16xf32>) -> tensor<?x16xf32>
    %78 = "arith.muli"(%69, %65) <{overflowFlags = #arith.overflow<none>}> : (i64, i64) -> i64
    %79 = "linalg.generic"(%77, %75) <{indexing_maps = [#map16, #map16], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg11: f32, %arg12: f32):
      %89 = "arith.sitofp"(%78) : (i64) -> f32
      %90 = "arith.divf"(%arg11, %89) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%90) : (f32) -> ()
    }) : (tensor<?x16xf32>, tensor<?x16xf32>) -> tensor<?x16xf32>
    %80 = "tensor.empty"() : () -> tensor<16x10xf32>
    %81 = "linalg.transpose"(%9, %80) <{permutation = array<i64: 1, 0>}> ({
    ^bb0(%arg9: f32, %arg10: f32):
      "linalg.yield"(%arg9) : (f32) -> ()
    }) : (tensor<10x16xf32>, tensor<16x10xf32>) -> tensor<16x10xf32>
    %82 = "tensor.empty"(%21) : (index) -> tensor<?x10xf32>
    %83 = "linalg.fill"(%5, %82) <{operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg7: f32, %arg8: f32):
      "linalg.yield"(%arg7) : (f32) -> ()
    }) : (f32, tensor<?x10xf32>) -> tensor<?x10xf32>
    %84 = "linalg.matmul"(%79, %81, %83) <{indexing_maps = [#map17, #map18, #map19], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg4: f32, %arg5: f32, %arg6: f32):
      %87 = "arith.mulf"(%arg4, %arg5) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      %88 = "arith.addf"(%arg6, %87) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%88) : (f32) -> ()
    }) : (tensor<?x16xf32>, tensor<16x10xf32>, tensor<?x10xf32>) -> tensor<?x10xf32>
    %85 = "linalg.generic"(%84, %8, %82) <{indexing_maps = [#map16, #map20, #map16], iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>], operandSegmentSizes = array<i32: 2, 1>}> ({
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32):
      %86 = "arith.addf"(%arg1, %arg2) <{fastmath = #arith.fastmath<none>}> : (f32, f32) -> f32
      "linalg.yield"(%86) : (f32) -> ()
    }) : (tensor<?x10xf32>, tensor<10xf32>, tensor<?x10xf32>) -> tensor<?x10xf32>
    "func.return"(%85) : (tensor<?x10xf32>) -> ()
  }) : () -> ()
}) : () -> ()

{-#

#-}
