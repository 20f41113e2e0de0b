#ifndef NNET_FLOW_H_
#define NNET_FLOW_H_

// Activations that hls4ml 1.3 does not have, or does not have exactly:
//   flow_clip     ReLU with an upper bound, and leaky ReLU whose negative side is limited, as QKeras does both
//   flow_sign     binary activation with any power-of-two scale
//   flow_ternary  ternary activation whose threshold is a constant; hls4ml's own multiplies by a rounded constant
//                 instead, lets the product wrap around, and sends the positive threshold itself to 0
//   flow_table    a function of the input code as a table over the codes where it changes
// Constants are the raw codes of the types they are compared with.

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_types.h"

namespace nnet {

template <class T> T flow_from_code(long long code) {
    #pragma HLS INLINE
    T value = 0;
    value.range(T::width - 1, 0) = ap_int<T::width>(code);
    return value;
}

template <class x_T, class y_T, typename CONFIG_T> y_T flow_clip_one(x_T x) {
    #pragma HLS INLINE
    y_T y = 0;
    if (x > 0) {
        y = x; // rounds and saturates as y_T says
        const y_T high = flow_from_code<y_T>(CONFIG_T::high);
        if (y > high)
            y = high;
    } else if (CONFIG_T::leaky) {
        const typename CONFIG_T::slope_t slope = CONFIG_T::slope;
        y = slope * x;
        const y_T low = flow_from_code<y_T>(CONFIG_T::low);
        if (y < low)
            y = low;
    }
    return y;
}

template <class x_T, class y_T, typename CONFIG_T> y_T flow_sign_one(x_T x) {
    #pragma HLS INLINE
    return flow_from_code<y_T>(x >= 0 ? 1 : -1);
}

template <class x_T, class y_T, typename CONFIG_T> y_T flow_ternary_one(x_T x) {
    #pragma HLS INLINE
    int code = 0;
    if (CONFIG_T::reaches_high && x >= flow_from_code<x_T>(CONFIG_T::high))
        code = 1;
    if (CONFIG_T::reaches_low && x <= flow_from_code<x_T>(CONFIG_T::low))
        code = -1;
    return flow_from_code<y_T>(code);
}

template <class x_T, typename CONFIG_T> unsigned flow_table_index(x_T x) {
    #pragma HLS INLINE
    const x_T low = flow_from_code<x_T>(CONFIG_T::low);
    const x_T high = flow_from_code<x_T>(CONFIG_T::high);
    if (x < low)
        x = low;
    if (x > high)
        x = high;
    // The difference of codes, modulo 2**width, whatever the sign.
    ap_uint<x_T::width> code = x.range(x_T::width - 1, 0);
    ap_uint<x_T::width> first = low.range(x_T::width - 1, 0);
    ap_uint<x_T::width> index = code - first;
    return index.to_uint();
}

#define FLOW_ELEMENTWISE(name)                                                                                          \
    template <class data_T, class res_T, typename CONFIG_T>                                                             \
    void name(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in]) {                                                 \
        _Pragma("HLS PIPELINE") for (int i = 0; i < CONFIG_T::n_in; i++) {                                              \
            res[i] = name##_one<data_T, res_T, CONFIG_T>(data[i]);                                                      \
        }                                                                                                               \
    }                                                                                                                   \
    template <class data_T, class res_T, typename CONFIG_T>                                                             \
    void name(hls::stream<data_T> &data, hls::stream<res_T> &res) {                                                     \
        for (int i = 0; i < CONFIG_T::n_in / res_T::size; i++) {                                                        \
            _Pragma("HLS PIPELINE") data_T in_data = data.read();                                                       \
            res_T out_data;                                                                                             \
            PRAGMA_DATA_PACK(out_data)                                                                                  \
            for (int j = 0; j < res_T::size; j++) {                                                                     \
                _Pragma("HLS UNROLL") out_data[j] =                                                                     \
                    name##_one<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(in_data[j]);          \
            }                                                                                                           \
            res.write(out_data);                                                                                        \
        }                                                                                                               \
    }

FLOW_ELEMENTWISE(flow_clip)
FLOW_ELEMENTWISE(flow_sign)
FLOW_ELEMENTWISE(flow_ternary)

template <class data_T, class res_T, typename CONFIG_T>
void flow_table(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                typename CONFIG_T::table_t table[CONFIG_T::table_size]) {
    #pragma HLS PIPELINE
    #pragma HLS function_instantiate variable=table
    for (int i = 0; i < CONFIG_T::n_in; i++) {
        res[i] = table[flow_table_index<data_T, CONFIG_T>(data[i])];
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void flow_table(hls::stream<data_T> &data, hls::stream<res_T> &res,
                typename CONFIG_T::table_t table[CONFIG_T::table_size]) {
    for (int i = 0; i < CONFIG_T::n_in / res_T::size; i++) {
        #pragma HLS PIPELINE
        data_T in_data = data.read();
        res_T out_data;
        PRAGMA_DATA_PACK(out_data)
        for (int j = 0; j < res_T::size; j++) {
            #pragma HLS UNROLL
            out_data[j] = table[flow_table_index<typename data_T::value_type, CONFIG_T>(in_data[j])];
        }
        res.write(out_data);
    }
}

} // namespace nnet

#endif
