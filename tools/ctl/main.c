/* main.c - gnomonctl; everything is in cli.c, so that tests can run it too. */
#include "tools/ctl/ctl.h"

int main(int argc, char **argv)
{
	return gn_ctl_main(argc, argv);
}
