#include "adapter.h"

int main(int argc, char **argv)
{
    return mlt_service_main(&mlt_adapter_spec, argc, argv);
}
