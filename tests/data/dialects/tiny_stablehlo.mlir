"builtin.module"() ({
  "func.func"() <{function_type = (tensor<2x3x32x32xf32>) -> tensor<2x10xf32>, sym_name = "main"}> ({
  ^bb0(%arg0: tensor<2x3x32x32xf32>):
    %0 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_10_torch.float32> : tensor<10xf32>}> : () -> tensor<10xf32>
    %1 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_10_16_torch.float32> : tensor<10x16xf32>}> : () -> tensor<10x16xf32>
    %2 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_16_torch.float32> : tensor<16xf32>}> : () -> tensor<16xf32>
    %3 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_16_4_1_1_torch.float32> : tensor<16x4x1x1xf32>}> : () -> tensor<16x4x1x1xf32>
    %4 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_4> : tensor<8xf32>}> : () -> tensor<8xf32>
    %5 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_1_3_3_torch.float32> : tensor<8x1x3x3xf32>}> : () -> tensor<8x1x3x3xf32>
    %6 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_3> : tensor<8xf32>}> : () -> tensor<8xf32>
    %7 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_2> : tensor<8xf32>}> : () -> tensor<8xf32>
    %8 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_torch.float32_1> : tensor<8xf32>}> : () -> tensor<8xf32>
    %9 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_torch.float32> : tensor<8xf32>}> : () -> tensor<8xf32>
    %10 = "stablehlo.constant"() <{value = dense_resource<torch_tensor_8_3_3_3_torch.float32> : tensor<8x3x3x3xf32>}> : () -> tensor<8x3x3x3xf32>
    %11 = "stablehlo.constant"() <{value = dense<1.000000e+00> : tensor<8xf32>}> : () -> tensor<8xf32>
    %12 = "stablehlo.constant"() <{value = dense<0.000000e+00> : tensor<2x8x16x16xf32>}> : () -> tensor<2x8x16x16xf32>
    %13 = "stablehlo.constant"() <{value = dense<0xFF800000> : tensor<f32>}> : () -> tensor<f32>
    %14 = "stablehlo.constant"() <{value = dense<0.000000e+00> : tensor<f32>}> : () -> tensor<f32>
    %15 = "arith.constant"() <{value = dense<1.000000e-05> : tensor<1xf64>}> : () -> tensor<1xf64>
    %16 = "arith.constant"() <{value = dense<1> : tensor<1xi64>}> : () -> tensor<1xi64>
    %17 = "arith.constant"() <{value = dense<64> : tensor<1xi64>}> : () -> tensor<1xi64>
    %18 = "stablehlo.convolution"(%arg0, %10) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>, feature_group_count = 1 : i64, padding = dense<1> : tensor<2x2xi64>, rhs_dilation = array<i64: 1, 1>, window_strides = array<i64: 2, 2>}> : (tensor<2x3x32x32xf32>, tensor<8x3x3x3xf32>) -> tensor<2x8x16x16xf32>
    %19 = "stablehlo.convert"(%15) : (tensor<1xf64>) -> tensor<1xf32>
    %20 = "stablehlo.reshape"(%19) : (tensor<1xf32>) -> tensor<f32>
    %21 = "stablehlo.broadcast_in_dim"(%20) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<8xf32>
    %22 = "stablehlo.add"(%21, %8) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %23 = "stablehlo.sqrt"(%22) : (tensor<8xf32>) -> tensor<8xf32>
    %24 = "stablehlo.divide"(%11, %23) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %25 = "stablehlo.convert"(%16) : (tensor<1xi64>) -> tensor<1xf32>
    %26 = "stablehlo.reshape"(%25) : (tensor<1xf32>) -> tensor<f32>
    %27 = "stablehlo.broadcast_in_dim"(%26) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<8xf32>
    %28 = "stablehlo.multiply"(%24, %27) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %29 = "stablehlo.reshape"(%9) : (tensor<8xf32>) -> tensor<8x1xf32>
    %30 = "stablehlo.reshape"(%29) : (tensor<8x1xf32>) -> tensor<8x1x1xf32>
    %31 = "stablehlo.reshape"(%28) : (tensor<8xf32>) -> tensor<8x1xf32>
    %32 = "stablehlo.reshape"(%31) : (tensor<8x1xf32>) -> tensor<8x1x1xf32>
    %33 = "stablehlo.broadcast_in_dim"(%30) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<8x1x1xf32>) -> tensor<2x8x16x16xf32>
    %34 = "stablehlo.subtract"(%18, %33) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %35 = "stablehlo.broadcast_in_dim"(%32) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<8x1x1xf32>) -> tensor<2x8x16x16xf32>
    %36 = "stablehlo.multiply"(%34, %35) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %37 = "stablehlo.reshape"(%7) : (tensor<8xf32>) -> tensor<8x1xf32>
    %38 = "stablehlo.reshape"(%37) : (tensor<8x1xf32>) -> tensor<8x1x1xf32>
    %39 = "stablehlo.broadcast_in_dim"(%38) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<8x1x1xf32>) -> tensor<2x8x16x16xf32>
    %40 = "stablehlo.multiply"(%36, %39) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %41 = "stablehlo.reshape"(%6) : (tensor<8xf32>) -> tensor<8x1xf32>
    %42 = "stablehlo.reshape"(%41) : (tensor<8x1xf32>) -> tensor<8x1x1xf32>
    %43 = "stablehlo.broadcast_in_dim"(%42) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<8x1x1xf32>) -> tensor<2x8x16x16xf32>
    %44 = "stablehlo.add"(%40, %43) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %45 = "stablehlo.maximum"(%44, %12) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %46 = "stablehlo.convolution"(%45, %5) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>, feature_group_count = 8 : i64, padding = dense<1> : tensor<2x2xi64>, rhs_dilation = array<i64: 1, 1>, window_strides = array<i64: 1, 1>}> : (tensor<2x8x16x16xf32>, tensor<8x1x3x3xf32>) -> tensor<2x8x16x16xf32>
    %47 = "stablehlo.reshape"(%4) : (tensor<8xf32>) -> tensor<8x1x1xf32>
    %48 = "stablehlo.broadcast_in_dim"(%47) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<8x1x1xf32>) -> tensor<2x8x16x16xf32>
    %49 = "stablehlo.add"(%46, %48) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %50 = "stablehlo.add"(%45, %49) : (tensor<2x8x16x16xf32>, tensor<2x8x16x16xf32>) -> tensor<2x8x16x16xf32>
    %51 = "stablehlo.convolution"(%50, %3) <{batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>, feature_group_count = 2 : i64, padding = dense<0> : tensor<2x2xi64>, rhs_dilation = array<i64: 1, 1>, window_strides = array<i64: 1, 1>}> : (tensor<2x8x16x16xf32>, tensor<16x4x1x1xf32>) -> tensor<2x16x16x16xf32>
    %52 = "stablehlo.reshape"(%2) : (tensor<16xf32>) -> tensor<16x1x1xf32>
    %53 = "stablehlo.broadcast_in_dim"(%52) <{broadcast_dimensions = array<i64: 1, 2, 3>}> : (tensor<16x1x1xf32>) -> tensor<2x16x16x16xf32>
    %54 = "stablehlo.add"(%51, %53) : (tensor<2x16x16x16xf32>, tensor<2x16x16x16xf32>) -> tensor<2x16x16x16xf32>
    %55 = "stablehlo.reduce_window"(%54, %13) <{padding = dense<0> : tensor<4x2xi64>, window_dilations = array<i64: 1, 1, 1, 1>, window_dimensions = array<i64: 1, 1, 2, 2>, window_strides = array<i64: 1, 1, 2, 2>}> ({
    ^bb0(%arg3: tensor<f32>, %arg4: tensor<f32>):
      %70 = "stablehlo.maximum"(%arg3, %arg4) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "stablehlo.return"(%70) : (tensor<f32>) -> ()
    }) : (tensor<2x16x16x16xf32>, tensor<f32>) -> tensor<2x16x8x8xf32>
    %56 = "stablehlo.reduce"(%55, %14) <{dimensions = array<i64: 2, 3>}> ({
    ^bb0(%arg1: tensor<f32>, %arg2: tensor<f32>):
      %69 = "stablehlo.add"(%arg1, %arg2) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "stablehlo.return"(%69) : (tensor<f32>) -> ()
    }) : (tensor<2x16x8x8xf32>, tensor<f32>) -> tensor<2x16xf32>
    %57 = "stablehlo.convert"(%17) : (tensor<1xi64>) -> tensor<1xf32>
    %58 = "stablehlo.reshape"(%57) : (tensor<1xf32>) -> tensor<f32>
    %59 = "stablehlo.broadcast_in_dim"(%58) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x16xf32>
    %60 = "stablehlo.divide"(%56, %59) : (tensor<2x16xf32>, tensor<2x16xf32>) -> tensor<2x16xf32>
    %61 = "stablehlo.transpose"(%1) <{permutation = array<i64: 1, 0>}> : (tensor<10x16xf32>) -> tensor<16x10xf32>
    %62 = "stablehlo.dot_general"(%60, %61) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>}> : (tensor<2x16xf32>, tensor<16x10xf32>) -> tensor<2x10xf32>
    %63 = "stablehlo.broadcast_in_dim"(%26) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<2x10xf32>
    %64 = "stablehlo.multiply"(%62, %63) : (tensor<2x10xf32>, tensor<2x10xf32>) -> tensor<2x10xf32>
    %65 = "stablehlo.broadcast_in_dim"(%26) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<10xf32>
    %66 = "stablehlo.multiply"(%65, %0) : (tensor<10xf32>, tensor<10xf32>) -> tensor<10xf32>
    %67 = "stablehlo.broadcast_in_dim"(%66) <{broadcast_dimensions = array<i64: 1>}> : (tensor<10xf32>) -> tensor<2x10xf32>
    %68 = "stablehlo.add"(%64, %67) : (tensor<2x10xf32>, tensor<2x10xf32>) -> tensor<2x10xf32>
    "func.return"(%68) : (tensor<2x10xf32>) -> ()
  }) : () -> ()
}) : () -> ()

{-#

#-}
