$(eval $(call prog,predict-bench,tests/predict/bench.c $(predict.src) firmware/core/text.c))
