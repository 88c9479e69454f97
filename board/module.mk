board.src := board/board.c $(yaml.src)
board.pure := board/explain.c
PURE += $(board.pure)
$(eval $(call test,board,board/board_test.c $(board.src) $(board.pure),$(YAML_LIBS)))
